"""What the broker keeps on disk: SQLite in WAL mode, with one transaction for each change.

`synchronous=NORMAL` hands a commit to the system without waiting for the disk. A commit survives
the process, even after kill -9, but a power failure may lose the latest ones. It takes 20 µs, so
the event loop makes it itself, without threads or locks, before the answer is sent.
https://www.sqlite.org/wal.html

Leases are not kept: they end with the broker. A row in `deliveries` says that a message is unacked
in a subscription or, if `acked`, that it is kept there for a seek only. A message without such a
row is kept for as long as its topic retains it; then `collect` removes it.
"""

import math
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from botdel.local.broker import remedies
from botdel.local.broker.refusals import not_kept
from botdel.local.broker.wire import Proto
from deletion.errors import BotDeletionError, ConfigurationError

FILE: Final = "pubsub.sqlite"
LOG: Final = f"{FILE}-wal"
"""SQLite's name for the file that alone has what was changed since the last checkpoint."""
VERSION: Final = 1
CHECKPOINT_PAGES: Final = 4_000
"""Pages of 4 KiB after which SQLite moves the log into the database, which waits for the disk."""
SCHEMA: Final = """
CREATE TABLE topics (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, body BLOB,
    retention REAL);
CREATE TABLE subscriptions (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, body BLOB,
    epoch INTEGER);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER, published REAL,
    body BLOB);
CREATE INDEX messages_published ON messages (published);
CREATE TABLE deliveries (message INTEGER, subscription INTEGER, attempts INTEGER, acked INTEGER,
    PRIMARY KEY (message, subscription)) WITHOUT ROWID;
"""
SETTINGS: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
"""
UNACKED: Final = (
    "SELECT d.subscription, d.attempts, m.id, m.topic, m.published, m.body "
    "FROM deliveries d JOIN messages m ON m.id = d.message WHERE NOT d.acked"
)


class NumberedMessage(NamedTuple):
    """A message and its number: `published` in seconds since 1970, `body` a PubsubMessage."""

    id: int
    topic: int
    published: float
    body: bytes


class Range(NamedTuple):
    """The numbers of messages above `after`, up to `last`."""

    after: int
    last: int


class Unacked(NamedTuple):
    """A message that a subscription has not acknowledged, and how often it has failed."""

    subscription: int
    attempts: int
    message: NumberedMessage


class JournalGone(BotDeletionError):
    """A file was removed while the broker ran. The broker must end."""


class Journal:
    """The file in `folder` or, without one, memory. The caller holds the lock of the folder.

    Raises ConfigurationError if the file cannot be opened, read or written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = folder / FILE if folder else ":memory:"
        with self.usable():
            self._db = sqlite3.connect(self._path, isolation_level=None)
            self._open()
        files = [folder / FILE, folder / LOG] if folder else []
        self._opened = [(file, file.stat()) for file in files]

    def _open(self) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        [found] = self._db.execute("PRAGMA user_version").fetchone()
        [tables] = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found != (VERSION if tables else 0):
            raise ConfigurationError(
                f"the broker cannot keep anything in {self._path}: "
                f"expected version {VERSION} of its own file, found version {found}",
                remedies.NOT_OURS,
            )
        self._db.executescript(SETTINGS)
        self._db.execute("BEGIN IMMEDIATE")  # a folder that cannot be written to is found here
        if not found:
            for statement in SCHEMA.split(";"):
                self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version = {VERSION}")
        self._db.execute("COMMIT")

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Raises ConfigurationError if the file cannot be read or written. For the start only:
        later, `transaction` raises what a client gets.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"the broker cannot keep anything in {self._path}: {error}",
                remedies.of_file(error),
            ) from error

    def check_place(self) -> None:
        """Raise JournalGone if a file was removed or replaced, and write nothing from then on.

        What the broker confirmed would be lost, and another broker may have a new file there.
        """
        gone = [file for file, opened in self._opened if not _is_there(file, opened)]
        if gone:
            self._db.execute("PRAGMA query_only = 1")
            raise JournalGone(
                f"{gone[0]} was removed or replaced while the broker was keeping messages there",
                "start the broker anew; messages may be lost",
            )

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all changes made inside, or none. Raises `Refused` (UNAVAILABLE) if it cannot."""
        try:
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise not_kept(error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk has rolled back by itself
            self._db.execute("ROLLBACK")

    # --- topics and subscriptions

    def add_topic(self, name: str, body: Proto, retention: float) -> int:
        row = (name, body.SerializeToString(), retention)
        return self._insert("INSERT INTO topics (name, body, retention) VALUES (?, ?, ?)", row)

    def change_topic(self, topic: int, body: Proto, retention: float) -> None:
        row = (body.SerializeToString(), retention, topic)
        self._db.execute("UPDATE topics SET body = ?, retention = ? WHERE id = ?", row)

    def remove_topic(self, topic: int) -> None:
        self._db.execute("DELETE FROM topics WHERE id = ?", (topic,))

    def topics(self) -> list[tuple[int, bytes]]:
        return self._db.execute("SELECT id, body FROM topics").fetchall()

    def add_subscription(self, name: str, body: Proto) -> int:
        row = (name, body.SerializeToString())
        return self._insert(
            "INSERT INTO subscriptions (name, body, epoch) VALUES (?, ?, 0)",
            row,
        )

    def change_subscription(self, subscription: int, body: Proto, epoch: int) -> None:
        self._db.execute(
            "UPDATE subscriptions SET body = ?, epoch = ? WHERE id = ?",
            (body.SerializeToString(), epoch, subscription),
        )

    def remove_subscription(self, subscription: int) -> None:
        self._db.execute("DELETE FROM subscriptions WHERE id = ?", (subscription,))
        self.remove_deliveries(subscription)

    def subscriptions(self) -> list[tuple[int, bytes, int]]:
        return self._db.execute("SELECT id, body, epoch FROM subscriptions").fetchall()

    def _insert(self, statement: str, row: tuple[object, ...]) -> int:
        number = self._db.execute(statement, row).lastrowid
        if number is None:
            raise sqlite3.DatabaseError("the row got no number")
        return number

    # --- messages

    def add(
        self, messages: Iterable[NumberedMessage], deliveries: Iterable[tuple[int, int]]
    ) -> None:
        """Keep messages, and who gets them: pairs of a message's and a subscription's number."""
        self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?)", messages)
        self._db.executemany("INSERT INTO deliveries VALUES (?, ?, 0, 0)", deliveries)

    def unack(self, subscription: int, messages: Iterable[int]) -> None:
        """Make `messages` unacked, whether or not they were acknowledged before."""
        self._db.executemany(
            "INSERT OR REPLACE INTO deliveries VALUES (?, ?, 0, 0)",
            ((message, subscription) for message in messages),
        )

    def ack(self, subscription: int, messages: Iterable[int], *, retain: bool) -> None:
        """Acknowledge `messages`. With `retain`, a seek can still bring them back."""
        self._db.executemany(
            "UPDATE deliveries SET acked = 1 WHERE message = ? AND subscription = ?"
            if retain
            else "DELETE FROM deliveries WHERE message = ? AND subscription = ?",
            ((message, subscription) for message in messages),
        )

    def count_attempts(self, subscription: int, attempts: Iterable[tuple[int, int]]) -> None:
        """`attempts` are pairs of a message and how often it has failed."""
        self._db.executemany(
            "UPDATE deliveries SET attempts = ? WHERE message = ? AND subscription = ?",
            ((count, message, subscription) for message, count in attempts),
        )

    def ack_before(
        self, subscription: int, within: Range, published: float, *, retain: bool
    ) -> None:
        """`ack` the messages `within` a range that were published before a time."""
        self._db.execute(
            "UPDATE deliveries SET acked = 1 WHERE subscription = ? AND message IN "
            "(SELECT id FROM messages WHERE id > ? AND id <= ? AND published < ?)"
            if retain
            else "DELETE FROM deliveries WHERE subscription = ? AND message IN "
            "(SELECT id FROM messages WHERE id > ? AND id <= ? AND published < ?)",
            (subscription, *within, published),
        )

    def remove_deliveries(self, subscription: int) -> None:
        self._db.execute("DELETE FROM deliveries WHERE subscription = ?", (subscription,))

    def unacked(self) -> Iterator[Unacked]:
        """Return the unacked messages of all subscriptions, oldest first: the rows of one message
        follow each other.
        """
        return map(_unacked, self._db.execute(f"{UNACKED} ORDER BY d.message"))

    def unacked_within(self, subscription: int, within: Range) -> Iterator[Unacked]:
        """Return which messages of a range are unacked in one subscription, oldest first."""
        rows = self._db.execute(
            f"{UNACKED} AND d.subscription = ? AND d.message > ? AND d.message <= ? "
            "ORDER BY d.message",
            (subscription, *within),
        )
        return map(_unacked, rows)

    def seekable(
        self, subscription: int, within: Range, since: float, topic: int, of_topic_since: float
    ) -> list[tuple[NumberedMessage, bool]]:
        """Return messages published at `since` or later that can be delivered again, oldest first.

        These are the messages that the subscription still has, acked or not, each with True, and
        others that `topic` got at `of_topic_since` or later, each with False.
        """
        rows = self._db.execute(
            "SELECT d.message IS NOT NULL, m.id, m.topic, m.published, m.body FROM messages m "
            "LEFT JOIN deliveries d ON d.message = m.id AND d.subscription = ? "
            "WHERE m.id > ? AND m.id <= ? AND m.published >= ? "
            "AND (d.message IS NOT NULL OR (m.topic = ? AND m.published >= ?)) ORDER BY m.id",
            (subscription, *within, since, topic, of_topic_since),
        )
        return [(NumberedMessage(*message), bool(has_it)) for has_it, *message in rows]

    def forget_acked(self, subscription: int, before: float = math.inf) -> None:
        """Remove acknowledged messages that were published `before`."""
        self._db.execute(
            "DELETE FROM deliveries WHERE subscription = ? AND acked AND message IN "
            "(SELECT id FROM messages WHERE published < ?)",
            (subscription, before),
        )

    def last_message(self) -> int:
        """Return the highest number ever kept, or 0. Its message may be gone."""
        found = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
        row = found.fetchone()
        return int(row[0]) if row else 0

    def ranges(self, until: int, most: int, most_bytes: int) -> Iterator[Range]:
        """Yield consecutive ranges of message numbers up to `until`.

        Each holds at most `most` messages and `most_bytes` of bodies, but at least one message.
        Messages may be added or removed in between.
        """
        after = 0
        while after < until:
            last = self._last_within(after, most, most_bytes)
            if last is None:
                return
            yield Range(after, min(last, until))
            after = last

    def collect(self, after: int, most: int, now: float) -> int:
        """Look at the next `most` messages after number `after`, and remove those that no
        subscription keeps and their topic no longer retains. Returns the last number, or 0 at the
        end.
        """
        last = self._last(after, most)
        if last is None:
            return 0
        self._db.execute(
            "DELETE FROM messages WHERE id > ? AND id <= ? AND NOT EXISTS "
            "(SELECT 1 FROM deliveries d WHERE d.message = messages.id) AND published <= ? - "
            "coalesce((SELECT retention FROM topics WHERE topics.id = messages.topic), 0)",
            (after, last, now),
        )
        return last

    def _last_within(self, after: int, most: int, most_bytes: int) -> int | None:
        """Return the last number of the next messages after number `after`: at most `most`, with
        bodies of at most `most_bytes`, but at least one. None if there is none.
        """
        last, room = None, most_bytes
        for number, length in self._db.execute(
            "SELECT id, length(body) FROM messages WHERE id > ? ORDER BY id LIMIT ?", (after, most)
        ):
            room -= length
            if last is not None and room < 0:
                break
            last = int(number)
        return last

    def _last(self, after: int, most: int) -> int | None:
        """Return the last number of the next `most` messages after number `after`; None if there is
        none.
        """
        [last] = self._db.execute(
            "SELECT max(id) FROM (SELECT id FROM messages WHERE id > ? ORDER BY id LIMIT ?)",
            (after, most),
        ).fetchone()
        return last if last is None else int(last)


def _unacked(row: tuple[Any, ...]) -> Unacked:
    subscription, attempts, *message = row
    return Unacked(subscription, attempts, NumberedMessage(*message))


def _is_there(file: Path, opened: os.stat_result) -> bool:
    """Whether `file` still is what was `opened`."""
    try:
        return os.path.samestat(file.stat(), opened)
    except OSError:
        return False
