"""How values read on a page: times, numbers, ages, and an icon and a word for every state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from deletion.clock import rfc3339
from deletion.dead_letter import DeadLetterStatus
from deletion.job import Status
from deletion.ledger import Concern
from deletion.process.run import escaped
from deletion.request import RequestState

SHAPES: Final[Mapping[str, str]] = {
    "wait": '<circle cx="8" cy="8" r="5.5"/>',
    "run": '<circle cx="8" cy="8" r="5.5"/><path d="M8 5v3l2.2 1.6"/>',
    "done": '<path d="M3 8.5l3.2 3.2L13 4.8"/>',
    "undone": '<path d="M4 6h6a3 3 0 0 1 0 6H7M4 6l2.5-2.5M4 6l2.5 2.5"/>',
    "warn": '<path d="M8 2.5L14.2 13H1.8zM8 6.5v3M8 11.3v.2"/>',
    "bad": '<path d="M4 4l8 8M12 4l-8 8"/>',
    "pause": '<path d="M5.5 4v8M10.5 4v8"/>',
    "letter": '<path d="M2 4h12v8H2zM2 4.5l6 4 6-4"/>',
    "skip": '<path d="M3 8h10"/>',
}
"""Icons: the strokes of each, in a square of 16."""


@dataclass(frozen=True, slots=True)
class ShownAs:
    """How a state looks: its icon, its tone (a class of the stylesheet) and its word."""

    icon: str
    tone: str
    word: str


SHOWN_AS: Final[Mapping[str, ShownAs]] = {
    Status.PENDING: ShownAs("wait", "calm", "pending"),
    Status.IN_PROGRESS: ShownAs("run", "busy", "in progress"),
    Status.FAILED: ShownAs("warn", "warn", "failed"),
    Status.COMPLETE: ShownAs("done", "good", "complete"),
    Status.COMPENSATED: ShownAs("undone", "odd", "compensated"),
    Status.EXHAUSTED: ShownAs("bad", "bad", "exhausted"),
    "missing": ShownAs("warn", "warn", "no job yet"),
    "parked": ShownAs("pause", "calm", "parked"),
    "dead_letter": ShownAs("letter", "bad", "dead letter"),
    "waived": ShownAs("skip", "calm", "waived"),
    "stale": ShownAs("warn", "warn", "stale"),
    "unreadable": ShownAs("bad", "bad", "unreadable"),
    RequestState.OPEN: ShownAs("run", "busy", "open"),
    RequestState.OVERDUE: ShownAs("bad", "bad", "overdue"),
    Concern.NEAR: ShownAs("warn", "warn", "near its deadline"),
    RequestState.SETTLED: ShownAs("done", "good", "settled"),
    DeadLetterStatus.NEW: ShownAs("letter", "bad", "new"),
    DeadLetterStatus.REPLAYED: ShownAs("undone", "good", "replayed"),
    DeadLetterStatus.DISCARDED: ShownAs("skip", "calm", "discarded"),
    "running": ShownAs("run", "busy", "running"),
    "silent": ShownAs("warn", "warn", "silent"),
    "done": ShownAs("done", "good", "done"),
    "refused": ShownAs("bad", "warn", "refused"),
    "begun": ShownAs("run", "busy", "begun"),
    "waiting": ShownAs("wait", "calm", "waiting"),
    "found_ok": ShownAs("done", "good", "ok"),
    "found_skipped": ShownAs("skip", "calm", "skipped"),
    "found_warning": ShownAs("warn", "warn", "warning"),
    "found_failed": ShownAs("bad", "bad", "failed"),
}
"""Every state that a page shows: of requests, services, jobs, steps, letters, sweeps, actions, and
findings."""


def shown_as(state: str) -> ShownAs:
    """How `state` looks; one that is not known, by its own name."""
    return SHOWN_AS.get(state, ShownAs("wait", "calm", state.replace("_", " ")))


def badge(state: str) -> Markup:
    """The icon and the word of a state."""
    shown = shown_as(state)
    return Markup('<span class="badge {}">{}{}</span>').format(
        shown.tone, icon(shown.icon), shown.word
    )


def icon(name: str) -> Markup:
    """An icon, which screen readers pass over: the word beside it says the same."""
    return Markup(
        '<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>'
    ).format(Markup(SHAPES[name]))  # noqa: S704 - a constant of this module


def commands(text: str) -> Markup:
    """`text` with what stands between backticks as code, and control characters escaped."""
    parts = escaped(text).split("`")
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if at % 2 else part for at, part in enumerate(parts))


def number(value: float) -> str:
    """With separators of thousands; fractions only below ten."""
    return f"{value:,.1f}" if isinstance(value, float) and value < TEN else f"{value:,.0f}"


TEN: Final = 10


def time(moment: datetime | None) -> Markup:
    """A time in UTC to the second, and to the millisecond where a pointer rests on it."""
    return _shown(moment, "%Y-%m-%d %H:%M:%S")


def date(moment: datetime | None) -> Markup:
    """The day of a time in UTC, and the time where a pointer rests on it."""
    return _shown(moment, "%Y-%m-%d")


def _shown(moment: datetime | None, form: str) -> Markup:
    if moment is None:
        return Markup('<span class="none">none</span>')
    whole = rfc3339(moment)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        whole, whole, moment.strftime(form)
    )


UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60))


def duration(length: timedelta) -> str:
    """In its two largest units: `3 d 4 h`, `12 min`, `45 s`."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < UNITS[-1][1]:
        return f"{seconds} s"
    for at, (unit, size) in enumerate(UNITS):
        if seconds >= size:
            rest = seconds % size
            smaller = UNITS[at + 1 : at + 2]
            more = [f"{rest // each} {name}" for name, each in smaller if rest >= each]
            return " ".join([f"{seconds // size:,} {unit}", *more])
    return f"{seconds} s"


def age(moment: datetime | None, now: datetime) -> str:
    """How long ago `moment` was, or how far ahead it is."""
    if moment is None:
        return ""
    return f"in {duration(moment - now)}" if moment > now else f"{duration(now - moment)} ago"


FILTERS: Final[Mapping[str, Callable[..., object]]] = {
    "age": age,
    "badge": badge,
    "commands": commands,
    "date": date,
    "duration": duration,
    "icon": icon,
    "number": number,
    "time": time,
    "tone": lambda state: shown_as(state).tone,
    "word": lambda state: shown_as(state).word,
}
"""What templates may use."""
