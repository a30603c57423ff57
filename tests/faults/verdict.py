"""The fate of every event, and the invariants that must hold at the end."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from deletion.dead_letter import Reason
from deletion.errors import EventError
from deletion.events import decode
from deletion.job import Status
from tests.faults.callers import Accepted, Callers
from tests.faults.data import SERVICES, Census
from tests.faults.stage import Stage
from tests.support.ledger import Entry, violations
from tests.support.pipeline import WITHIN

EVERYTHING: Final = "100000"
"""More than there is of anything."""


class Fate(StrEnum):
    """Where one event stands in one service."""

    COMPLETE = "complete"
    EXHAUSTED = "exhausted"
    DEAD_LETTER = "dead letter"
    UNDER_WAY = "under way"
    UNRECORDED = "unrecorded"


SETTLED: Final = (Fate.COMPLETE, Fate.EXHAUSTED, Fate.DEAD_LETTER)


@dataclass(frozen=True)
class Records:
    """The jobs and the dead letters, as they are stored at one moment."""

    jobs: Sequence[dict[str, Any]]
    dead_letters: Sequence[dict[str, Any]]

    def fate(self, event: Accepted, service: str) -> Fate:
        """A job tells more than a dead letter: a message may be given up after it was recorded."""
        statuses = {Status(job["status"]) for job in self.covering(event, service)}
        if Status.COMPLETE in statuses:
            return Fate.COMPLETE
        if statuses:
            return Fate.EXHAUSTED if Status.EXHAUSTED in statuses else Fate.UNDER_WAY
        dead = (service, event.event_id) in self._given_up
        return Fate.DEAD_LETTER if dead else Fate.UNRECORDED

    def finished(self, event: Accepted, service: str) -> datetime | None:
        """When the job that covers the event was complete."""
        return max(
            (j["finishedAt"] for j in self.covering(event, service) if j["finishedAt"]),
            default=None,
        )

    def covering(self, event: Accepted, service: str) -> list[dict[str, Any]]:
        """The jobs that cover the event: its own, or the one it joined. More than one is wrong."""
        of_bot = self._by_bot[service, event.bot_id]
        return [job for job in of_bot if event.event_id in job["eventIds"]]

    def given_up(self, data: bytes, service: str) -> set[str]:
        """The reasons why messages with these bytes are dead letters of the service."""
        return self._reasons[service, data]

    @property
    def reasons(self) -> Counter[str]:
        """How many dead letters there are for each reason."""
        return Counter(letter["reason"] for letter in self.dead_letters)

    @cached_property
    def _by_bot(self) -> dict[tuple[str, str], list[dict[str, Any]]]:
        by_bot = defaultdict(list)
        for job in self.jobs:
            by_bot[job["service"], str(job["botId"])].append(job)
        return by_bot

    @cached_property
    def _reasons(self) -> dict[tuple[str, bytes], set[str]]:
        reasons = defaultdict(set)
        for letter in self.dead_letters:
            reasons[letter["service"], letter["data"]].add(letter["reason"])
        return reasons

    @cached_property
    def _given_up(self) -> set[tuple[str, str]]:
        """The service and the event of each dead letter that carries one."""
        found = set()
        for service, data in self._reasons:
            with suppress(EventError):
                found.add((service, decode(data).event_id))
        return found


async def records(stage: Stage) -> Records:
    """As they are now."""
    database = stage.direct.client[stage.direct.database]
    return Records(
        await database["deletion_jobs"].find().to_list(),
        await database["dead_letters"].find().to_list(),
    )


async def recorded(stage: Stage, callers: Callers) -> list[Accepted]:
    """The events every service knows of."""
    now = await records(stage)
    return [
        event
        for event in callers.accepted
        if all(now.fate(event, service) is not Fate.UNRECORDED for service in SERVICES)
    ]


async def unrecorded(stage: Stage, callers: Callers) -> list[str]:
    """What would be lost if the broker forgot everything now, a line each."""
    now = await records(stage)
    events = [
        f"event {event.event_id} of {service}"
        for event in callers.accepted
        for service in SERVICES
        if now.fate(event, service) is Fate.UNRECORDED
    ]
    return events + list(_poison_at_large(callers, now))


def unsettled(callers: Callers, now: Records) -> list[str]:
    """Accepted events that are neither done nor visible to an operator, a line each."""
    return [
        f"event {event.event_id} of bot {event.bot_id}, placed {event.placed_at:%H:%M:%S.%f}, "
        f"is {fate} in {service}: {_told(now.covering(event, service))}"
        for event in callers.accepted
        for service in SERVICES
        if (fate := now.fate(event, service)) not in SETTLED
    ] + list(_poison_at_large(callers, now))


async def broken(
    stage: Stage, callers: Callers, now: Records, before: Census, entries: Sequence[Entry]
) -> list[str]:
    """A line for each invariant that does not hold at the end."""
    after = await stage.data.census()
    return [
        *unsettled(callers, now),
        *_wrong_documents(callers, now, before, after),
        *_twice_covered(now),
        *_wrongly_queued(now),
        *await _unseen(stage, now),
        *violations(entries),
    ]


def _wrong_documents(
    callers: Callers, now: Records, before: Census, after: Census
) -> Iterator[str]:
    """A bot nobody asked for keeps all it had; one whose deletions are complete has nothing."""
    asked_for = defaultdict(list)
    for event in callers.accepted:
        asked_for[event.bot_id].append(event)
    for (service, bot), had in before.items():
        has, events = after.get((service, bot), frozenset()), asked_for[bot]
        if not events and has != had:
            yield f"bot {bot} was not to be deleted, and lost {len(had - has)} in {service}"
        fates = {now.fate(event, service) for event in events}
        if fates == {Fate.COMPLETE} and has:
            yield f"bot {bot} is deleted in {service}, and has {len(has)} documents there"


def _twice_covered(now: Records) -> Iterator[str]:
    covered = Counter((job["service"], event) for job in now.jobs for event in job["eventIds"])
    for (service, event), times in covered.items():
        if times > 1:
            yield f"event {event} is covered {times} times in {service}"


def _wrongly_queued(now: Records) -> Iterator[str]:
    """A job has `queue` and `due`, by which a worker finds it, exactly while it may be claimed."""
    for job in now.jobs:
        interrupted = bool(job["failure"] and job["failure"]["interrupted"])
        is_due = job["status"] == Status.PENDING or (job["status"] == Status.FAILED and interrupted)
        if {"queue", "due"} & set(job) != ({"queue", "due"} if is_due else set()):
            yield f"job {job['_id']} is {job['status']}, with {job.get('queue')}, {job.get('due')}"


def _poison_at_large(callers: Callers, now: Records) -> Iterator[str]:
    """Poison that is not a dead letter. After five deliveries in an outage it is `undelivered`."""
    for data, reason in callers.poison.items():
        for service in SERVICES:
            if not now.given_up(data, service) & {reason, Reason.UNDELIVERED}:
                yield f"poison of {len(data)} bytes is not {reason} in {service}"


async def _unseen(stage: Stage, now: Records) -> list[str]:
    """Exhausted jobs and dead letters that the commands of an operator do not list."""
    exhausted = {str(job["_id"]) for job in now.jobs if job["status"] == Status.EXHAUSTED}
    exhausted -= await _listed(stage, "jobs", "list", "--status", Status.EXHAUSTED)
    given_up = {str(letter["_id"]) for letter in now.dead_letters}
    given_up -= await _listed(stage, "dead-letters", "list")
    return [
        *(f"exhausted job {job_id} is not listed" for job_id in exhausted),
        *(f"dead letter {letter_id} is not listed" for letter_id in given_up),
    ]


async def _listed(stage: Stage, *command: str) -> set[str]:
    """The ids that a command of `botdel` lists."""
    arguments = ("botdel.cli", *command, "--limit", EVERYTHING, "--json")
    async with stage.direct.process("botdel", *arguments) as process:
        code = await process.wait(WITHIN)
    assert code == 0, list(process.lines)
    return {entry["_id"] for entry in json.loads(process.lines[-1])}


def _told(jobs: Sequence[dict[str, Any]]) -> str:
    told = [f"job {j['_id']} {j['status']}, attempt {j['attempt']}, {j['failure']}" for j in jobs]
    return "; ".join(told) or "no job"
