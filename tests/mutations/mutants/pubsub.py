"""The bus and its topology: deletion/adapters/pubsub/."""

from typing import Final

from tests.mutations.mutants.base import EDGE, UNIT, Mutant

ATTACHMENT: Final = "deletion/adapters/pubsub/attachment.py"
PUBLISHER: Final = "deletion/adapters/pubsub/publisher.py"
PUBLISHING: Final = "deletion/adapters/pubsub/readiness.py"
TOPOLOGY: Final = "deletion/adapters/pubsub/topology.py"

MUTANTS: Final = (
    Mutant(
        "a replay does not see that its subscription has lost its topic",
        "deletion/adapters/pubsub/topology.py",
        "if problem := detached(await self._get_subscription(path), topic):",
        "if (problem := detached(await self._get_subscription(path), topic)) and False:",
        ("unit",),
    ),
    Mutant(
        "a refusal after a lost answer says that nothing was published",
        PUBLISHER,
        "                raise unanswered from refused\n",
        "                raise\n",
    ),
    Mutant(
        "a new subscription is not sought back",
        TOPOLOGY,
        "        is_asked = SEEK_LABEL in found.labels\n",
        "        is_asked = False\n",
    ),
    Mutant(
        "a new subscription does not say that it is to be sought back",
        TOPOLOGY,
        "        made.labels[SEEK_LABEL] = SEEK_PENDING",
        "        pass",
    ),
    Mutant(
        "what is published between a topic and its subscription is lost",
        TOPOLOGY,
        "        made.labels[SEEK_LABEL] = SEEK_PENDING\n",
        "        made.labels |= {SEEK_LABEL: SEEK_PENDING} if applied.created == [] else {}\n",
    ),
    Mutant(
        "a start does not ask whether the subscription may be pulled",
        TOPOLOGY,
        "            if CONSUME not in held.permissions:",
        "            if not held:",
    ),
    Mutant(
        "a subscription that lost its topic is as good as another",
        ATTACHMENT,
        "    if found.topic == topic:",
        "    if found.topic:",
    ),
    Mutant(
        "every probe of a consumer asks Pub/Sub",
        ATTACHMENT,
        "Kept(self._look, KEEP_SECONDS, monotonic)",
        "Kept(self._look, 0.0, monotonic)",
    ),
    Mutant(
        "a lost topic is forgotten when Pub/Sub does not answer",
        ATTACHMENT,
        "            log.debug(",
        "            self._problem = None\n            log.debug(",
    ),
    Mutant(
        "answers of any size are read",
        "deletion/adapters/pubsub/connection.py",
        '("grpc.max_receive_message_length", MAX_ANSWER_BYTES)',
        '("grpc.max_receive_message_length", -1)',
    ),
    Mutant(
        "an answer that was too large is asked for again",
        "deletion/adapters/pubsub/subscription.py",
        "                self._most = 1\n",
        "",
    ),
    Mutant(
        "pulls grow although the next answer may be too large",
        "deletion/adapters/pubsub/subscription.py",
        "if is_full and answer.ByteSize() <= MAX_ANSWER_BYTES / 2:",
        "if is_full:",
    ),
    Mutant(
        "pulls grow although fewer came than were asked for",
        "deletion/adapters/pubsub/subscription.py",
        "if is_full and answer.ByteSize() <= MAX_ANSWER_BYTES / 2:",
        "if answer.ByteSize() <= MAX_ANSWER_BYTES / 2:",
    ),
    Mutant(
        "pulls stay small for ever",
        "deletion/adapters/pubsub/subscription.py",
        "self._most = min(PULL_LIMIT, self._most * 2)",
        "pass",
    ),
    Mutant(
        "a pull that is never answered is an empty one",
        "deletion/adapters/pubsub/subscription.py",
        "                await self._ask()\n",
        "",
    ),
    Mutant(
        "every probe asks Pub/Sub",
        PUBLISHING,
        "if recent and error is None:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a publish of long ago is proof",
        PUBLISHING,
        "self._monotonic() - last.at < RECENT_SECONDS",
        "self._monotonic() - last.at < float('inf')",
        EDGE,
    ),
    Mutant(
        "a topic that can be seen may be published to",
        PUBLISHING,
        "if isinstance(error, TopologyMissing):",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a missing viewer role makes unready",
        PUBLISHING,
        "except (gcp.Forbidden, gcp.TooManyRequests) as error:",
        "except () as error:",
        EDGE,
    ),
    Mutant(
        "a publish that is late is no failure",
        PUBLISHER,
        "            self.last = Outcome(self._monotonic(), late)\n",
        "",
        EDGE,
    ),
    Mutant(
        "slow publishes stall what comes behind them",
        PUBLISHER,
        "        if left <= 0:\n            self._start()",
        "        if left <= 0:\n            pass",
        EDGE,
    ),
    Mutant(
        "requests under way have no bound",
        PUBLISHER,
        "if not self._waiting or len(self._senders) >= self._max_requests:",
        "if not self._waiting:",
        EDGE,
    ),
    Mutant(
        "a busy Pub/Sub gets more requests",
        PUBLISHER,
        "left = self._begun + SLOW_SECONDS - self._monotonic()",
        "left = 0.0",
        EDGE,
    ),
    Mutant(
        "what may not be looked at is taken for missing",
        TOPOLOGY,
        "        if isinstance(error.__cause__, NotFound):\n            return True\n        raise",
        "        return True",
        UNIT,
    ),
)
