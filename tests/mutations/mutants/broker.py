"""The embedded broker: botdel/local/broker/."""

from typing import Final

from tests.mutations.mutants.base import BROKER, BROKER_PROCESS, Mutant

BROKER_STATE: Final = "botdel/local/broker/broker.py"
BROKER_COMMAND: Final = "botdel/local/broker/command.py"
BROKER_LANES: Final = "botdel/local/broker/entry.py"
BROKER_FEED: Final = "botdel/local/broker/feed.py"
BROKER_FILTERS: Final = "botdel/local/broker/filters.py"
BROKER_JOURNAL: Final = "botdel/local/broker/journal.py"
BROKER_LETTERS: Final = "botdel/local/broker/letters.py"
BROKER_SEEKING: Final = "botdel/local/broker/seeking.py"
BROKER_SETTINGS: Final = "botdel/local/broker/settings.py"
BROKER_STREAMS: Final = "botdel/local/broker/streams.py"
BROKER_LEASES: Final = "botdel/local/broker/subscription.py"

MUTANTS: Final = (
    Mutant(
        "broker: a message is confirmed without being kept",
        BROKER_STATE,
        "        self.journal.add(messages, owed)\n",
        "",
        BROKER,
    ),
    Mutant(
        "broker: an ack is confirmed without being kept",
        BROKER_STATE,
        "            numbers = [each.message.id for each in entries]\n",
        "            numbers: list[int] = []\n",
        BROKER,
    ),
    Mutant(
        "broker: half a change is kept",
        BROKER_JOURNAL,
        "        except sqlite3.Error as error:\n            self._roll_back()\n",
        '        except sqlite3.Error as error:\n            self._db.execute("COMMIT")\n',
        BROKER,
    ),
    Mutant(
        "broker: failures are not kept",
        BROKER_STATE,
        "            if counts:\n",
        "            if False:\n",
        BROKER,
    ),
    Mutant(
        "broker: a number is used again",
        BROKER_STATE,
        "max(self.journal.last_message(), int(self.now() * 1e6))",
        "int(self.now() * 1e6)",
        BROKER,
    ),
    Mutant(
        "broker: after a restart each subscription has a copy of a message",
        BROKER_STATE,
        "if shared is None or shared.id != owed.message.id:",
        "if True:",
        BROKER,
    ),
    Mutant(
        "broker: a late call touches the lease after it",
        BROKER_LEASES,
        "0 < e.serial == serial",
        "True",
        BROKER,
    ),
    Mutant(
        "broker: an ack counts across a seek",
        BROKER_LEASES,
        "(mine, epoch) == (self.id, self.epoch)",
        "mine == self.id",
        BROKER,
    ),
    Mutant(
        "broker: a deadline that was moved ends the lease at its old time",
        BROKER_LEASES,
        "return entry.serial == serial and entry.deadline == deadline",
        "return entry.serial == serial",
        BROKER,
    ),
    Mutant(
        "broker: the back-off does not grow",
        BROKER_LEASES,
        "least * 2 ** min(attempts - 1, 32)",
        "least",
        BROKER,
    ),
    Mutant(
        "broker: leases that ended fill the memory",
        BROKER_LEASES,
        "if too_many or self._stale_bytes > STALE_BYTES:",
        "if False:",
        BROKER,
    ),
    Mutant(
        "broker: a lane does not wait for what is held of it",
        BROKER_LEASES,
        "if taken and self._ready and self._ready[0] is taken[-1].lane:",
        "if False:",
        BROKER,
    ),
    Mutant(
        "broker: a redelivered message leaves those behind it",
        BROKER_LANES,
        "if number >= entry.message.id]",
        "if number == entry.message.id]",
        BROKER,
    ),
    Mutant(
        "broker: a message is lost with its dead-letter topic",
        BROKER_STATE,
        "is_dead = target is not None and letters",
        "is_dead = letters",
        BROKER,
    ),
    Mutant(
        "broker: a dead letter comes one delivery late",
        BROKER_LETTERS,
        "subscription.max_attempts <= entry.attempts + 1",
        "subscription.max_attempts <= entry.attempts",
        BROKER,
    ),
    Mutant(
        "broker: a seek reaches what no topic keeps",
        BROKER_SEEKING,
        "retention if retention else math.inf",
        "retention if retention else 0.0",
        BROKER,
    ),
    Mutant(
        "broker: a seek brings what the filter keeps out",
        BROKER_SEEKING,
        "if was_owed or self._matches(message)]",
        "if was_owed or message]",
        BROKER,
    ),
    Mutant(
        "broker: a seek owes more than fits into memory",
        BROKER_SEEKING,
        "        if subscription.bytes > most:",
        "        if False:",
        BROKER,
    ),
    Mutant(
        "broker: what is published during a seek comes before what it brings",
        BROKER_LEASES,
        "        if self._late is None:",
        "        if True:",
        BROKER,
    ),
    Mutant(
        "broker: a seek that the disk did not take forgets messages",
        BROKER_SEEKING,
        "                    subscription.refill(self._as_before(each))\n",
        "",
        BROKER,
    ),
    Mutant(
        "broker: a subscription that is deleted during a seek comes back",
        BROKER_SEEKING,
        "                self._check_there()\n",
        "",
        BROKER,
    ),
    Mutant(
        "broker: what was retained stays when that is turned off",
        "botdel/local/broker/catalogue.py",
        "                self._broker.journal.forget_acked(subscription.id)\n",
        "                pass\n",
        BROKER,
    ),
    Mutant(
        "broker: failures in a lane count on disk only",
        BROKER_LEASES,
        "        for entry in held:\n            entry.attempts += failed\n",
        "        for entry in held[:1]:\n            entry.attempts += failed\n",
        BROKER,
    ),
    Mutant(
        "broker: a dead letter takes room that there is not",
        BROKER_LETTERS,
        "return topic if topic is not None and broker.full(topic) is None else None",
        "return topic",
        BROKER,
    ),
    Mutant(
        "broker: a subscription that is used expires",
        BROKER_STATE,
        "        subscription.used = self.now()\n        return subscription\n",
        "        return subscription\n",
        BROKER,
    ),
    Mutant(
        "broker: the clock stands still while the machine sleeps",
        "botdel/local/broker/server.py",
        'getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)',
        "time.CLOCK_MONOTONIC",
        BROKER,
    ),
    Mutant(
        "broker: it confirms into a file that was removed",
        BROKER_JOURNAL,
        "            is_there = False\n",
        "            is_there = True\n",
        BROKER,
    ),
    Mutant(
        "broker: a subscription forgets what its topic keeps for it",
        BROKER_STATE,
        "return max(own, topic.retention if topic else 0.0)",
        "return own",
        BROKER,
    ),
    Mutant(
        "broker: what somebody is owed is removed from the disk",
        BROKER_JOURNAL,
        "WHERE id > ? AND id <= ? AND NOT EXISTS ",
        "WHERE id > ? AND id <= ? AND 1 OR NOT EXISTS ",
        BROKER,
    ),
    Mutant(
        "broker: a detached subscription comes back with a restart",
        BROKER_STATE,
        "if not settings.detached and (topic",
        "if (topic",
        BROKER,
    ),
    Mutant(
        "broker: AND and OR are mixed",
        BROKER_FILTERS,
        'if self._value in ("AND", "OR"):\n            self._refuse(',
        "if False:\n            self._refuse(",
        BROKER,
    ),
    Mutant(
        "broker: an update changes what cannot be changed",
        BROKER_SETTINGS,
        'if path.partition(".")[0] not in mutable:',
        "if False:",
        BROKER,
    ),
    Mutant(
        "broker: memory is not bounded",
        BROKER_STATE,
        "if (full := self.full(topic)) is not None:",
        "if (full := self.full(topic)) is not None and False:",
        BROKER,
    ),
    Mutant(
        "broker: a unary ack makes no room on a stream",
        BROKER_STREAMS,
        "        self._bytes -= len(entry.message.body)\n        self._feed.wake()\n",
        "        self._bytes -= len(entry.message.body)\n",
        BROKER,
    ),
    Mutant(
        "broker: a stream takes more than it said",
        BROKER_STREAMS,
        "self._most - len(self._held) if self._most > 0",
        "self._most if self._most > 0",
        BROKER,
    ),
    Mutant(
        "broker: a stream takes more while an answer waits",
        BROKER_STREAMS,
        "if self._pending or self._ended:",
        "if self._ended:",
        BROKER,
    ),
    Mutant(
        "broker: a stream that died keeps what it held",
        BROKER_STREAMS,
        "            self._broker.fail(self._feed.subscription, held)\n",
        "            pass\n",
        BROKER,
    ),
    Mutant(
        "broker: a pull that was cancelled keeps what it was given",
        BROKER_FEED,
        "            feed.give_back(waiting.given.result())\n",
        "            pass\n",
        BROKER,
    ),
    Mutant(
        "broker: two processes open one folder",
        BROKER_COMMAND,
        "            stack.enter_context(locked(folder, HELD, REMEDY))\n",
        "            pass\n",
        BROKER_PROCESS,
    ),
    Mutant(
        "broker: everybody on the network may read and change everything",
        BROKER_COMMAND,
        "    if not address.is_loopback:",
        "    if False:",
        BROKER_PROCESS,
    ),
    Mutant(
        "broker: it does not say what to do about a port that is taken",
        BROKER_COMMAND,
        "    _check_free(address, port)\n",
        "",
        BROKER_PROCESS,
    ),
    Mutant(
        "broker: it writes into the database of another program",
        BROKER_JOURNAL,
        "if found != (VERSION if tables else 0):",
        "if False:",
        BROKER,
    ),
)
