"""Every error this project raises on purpose, in one tree.

BotDeletionError
├── ConfigurationError      a setting or a file is wrong: correct it and start again
│   ├── SettingsError       environment variables are missing or wrong: set them
│   └── PlanError           the plan file is wrong: the message says where and what was expected
├── EventError              a message does not carry an event this code can handle
│   ├── UndecodableEvent    the bytes are not a BotDeletionSubject
│   │   └── OversizedEvent  there are more of them than an event may have
│   ├── InvalidEvent        it decodes, but breaks a rule of the contract
│   └── UnknownEventType    valid, but newer than this code: keep it, never run it
├── TransientError          may pass by itself: try again with back-off
│   ├── StoreUnavailable    the database does not answer
│   │   └── BuildInterrupted   while it builds an index, which it goes on with
│   ├── BusUnavailable      Pub/Sub does not answer, or not in time
│   │   └── BusOverloaded   too many events are waiting for it already: try again later
│   ├── ObjectsUnavailable  the provider of a bucket does not answer, or asks to wait
│   ├── HttpUnavailable     an external API does not answer, or cannot work now
│   └── PressureUnknown     a gauge gives no value: the step keeps its normal pace
├── PermanentError          will not pass by itself; rolls a saga back before its point of no return
│   ├── NothingFound        a step that must find something found nothing: check its plan
│   ├── SharedDocument      a document belongs to other bots too: split it
│   ├── ObjectsRefused      a bucket is missing, not permitted, or keeps what was deleted
│   └── HttpRefused         an external API refuses the call, or gives an unexpected answer
├── TopologyMissing         a topic or subscription is missing, or this identity may not use it
├── Unregistered            services are not registered yet: apply the plan of each
├── TransitionError         the job's state does not allow it: read the job again
├── UnreadableJob           the job's record is damaged, or of a later version: skip it
├── ClockSkew               clocks differ too much to judge silence: synchronise them
├── LeaseLost               this run no longer holds the job: stop at once
├── LeftOvers               every step ran, yet data of the bot is still there
├── StepUnknown             the plan lacks a step of the job: finish the update, or put it back
├── Parked                  an external API must not be called now: try again later
│   └── Busy                as many calls to it are under way as may be; nothing is wrong
└── Interrupted             the process was asked to stop: hand the job over
"""

from datetime import datetime


class BotDeletionError(Exception):
    """Root of the tree: catch it at the edge of a process only.

    `what` says what is wrong and, after a colon, why; `remedy` says what to do, unless that is
    obvious. The message is `what; remedy`.
    """

    def __init__(self, what: str = "", remedy: str = "") -> None:
        super().__init__(f"{what}; {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


class ConfigurationError(BotDeletionError):
    """A setting or a file is wrong. `what` names it and says what was expected."""


class SettingsError(ConfigurationError):
    """Environment variables are missing or wrong. `problems` has a line for each."""

    def __init__(self, *problems: str) -> None:
        lines = "".join(f"\n  {problem}" for problem in problems)
        where = "see docs/reference/configuration.md, or run `. .local/env` beside `make up`"
        super().__init__(f"settings are missing or wrong: {where}{lines}")
        self.problems = problems


class PlanError(ConfigurationError):
    """A plan is wrong. `field` names the field, if one is wrong; `expected` is what it must be."""

    def __init__(self, expected: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {expected}" if field else expected)
        self.field = field
        self.expected = expected


class EventError(BotDeletionError):
    """A message does not carry an event this code can handle."""


class UndecodableEvent(EventError):
    """The bytes do not parse as a `BotDeletionSubject`."""


class OversizedEvent(UndecodableEvent):
    """More bytes than an event may have; they were not parsed."""


class InvalidEvent(EventError):
    """The event parses but breaks a rule of the contract; `field` says where."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field}: expected {expected}")
        self.field = field


class UnknownEventType(EventError):
    """A valid event of a type (a number of `EventType`) that is newer than this code."""

    def __init__(self, event_type: int) -> None:
        super().__init__(f"event type {event_type} is newer than this consumer")
        self.event_type = event_type


class TransientError(BotDeletionError):
    """It may pass by itself: try again with back-off, but not before `retry_after` seconds."""

    def __init__(
        self, what: str = "", remedy: str = "", *, retry_after: float | None = None
    ) -> None:
        super().__init__(what, remedy)
        self.retry_after = retry_after


class StoreUnavailable(TransientError):
    """The database does not answer, or has no primary."""


class BuildInterrupted(StoreUnavailable):
    """The answer to the build of an index is lost. The database carries on with it."""


class BusUnavailable(TransientError):
    """Pub/Sub does not answer, or does not confirm in time."""


class BusOverloaded(BusUnavailable):
    """Too many events are waiting for Pub/Sub already; this one was not sent."""


class ObjectsUnavailable(TransientError):
    """The provider of a bucket does not answer in time, or asks to be called less often."""


class HttpUnavailable(TransientError):
    """An external API cannot be reached, does not answer in time, or cannot work now."""


class PressureUnknown(TransientError):
    """A gauge gave no value; the message says why, without the URL."""


class PermanentError(BotDeletionError):
    """It will not pass by itself. Before the point of no return it rolls a saga back."""


class ObjectsRefused(PermanentError):
    """A bucket is missing, may not be used, or keeps an object; the message says what to do."""


class HttpRefused(PermanentError):
    """An external API refuses the call, or gives an answer that the plan does not allow."""


class NothingFound(PermanentError):
    """A step whose plan says `expect: nonzero` has never found anything of the bot."""


class SharedDocument(PermanentError):
    """A document belongs to more than this bot: the team that owns it has to split it."""


class TopologyMissing(BotDeletionError):
    """A topic or subscription does not exist (`botdel topology apply` creates it), or this
    identity may not use it; the message says which."""


class Unregistered(BotDeletionError):
    """It is not known yet which services owe a request: none is registered, or one that has a
    subscription is not. `botdel topology apply --plan FILE` registers a service.
    """


class TransitionError(BotDeletionError):
    """The job's state does not allow this transition; read the job again."""


class UnreadableJob(BotDeletionError):
    """The record of job `job_id` is damaged, or of a later version; `reason` says what is wrong."""

    def __init__(self, job_id: str, reason: str) -> None:
        super().__init__(f"job {job_id} cannot be read: {reason}")
        self.job_id = job_id
        self.reason = reason


class ClockSkew(BotDeletionError):
    """This machine's clock and the database's differ by too much; the message says by how much."""


class LeaseLost(BotDeletionError):
    """This run no longer holds the job: it stops before its next destructive call."""


class LeftOvers(BotDeletionError):
    """Every step ran, yet data of the bot was found again: something still writes it."""


class StepUnknown(BotDeletionError):
    """The job has unfinished steps that this process's plan does not have. Its record was written
    with another version of the plan, and only a process whose plan has them can complete the job.
    """


class Parked(BotDeletionError):
    """A step must not go on before `until`; the job waits for a day at most. `has_called` says
    whether this run has called the API in vain, which spends its attempt.

    Raises `TypeError` unless `until` is a datetime with a time zone.
    """

    def __init__(self, until: datetime, why: str, *, has_called: bool = False) -> None:
        super().__init__(why)
        if not isinstance(until, datetime) or until.tzinfo is None:
            raise TypeError(f"until: expected a datetime with a time zone, found {until!r}")
        self.until = until
        self.has_called = has_called


class Busy(Parked):
    """As many calls to the API are under way as its `concurrency` allows; nothing is wrong with it.
    The jobs parked for this are due again at random times within `window` seconds.
    """

    def __init__(self, until: datetime, why: str, window: float) -> None:
        super().__init__(until, why)
        self.window = window


class Interrupted(BotDeletionError):
    """The process was asked to stop: the run ends, and its job is handed over."""


def with_type(error: BaseException) -> str:
    """The text of an error with its type in parentheses; the type alone if it has no text."""
    name, text = type(error).__name__, str(error)
    return f"{text} ({name})" if text else name
