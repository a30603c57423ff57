"""What has happened in the installation that the browser looks at: something of everything."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from deletion.breaker import Breaker
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.doctor import Examination, Finding, Verdict
from deletion.events import encode
from deletion.job import STALE, Failure, Job, PastAttempt, Status, StepProgress, StepStatus
from deletion.sweep import Sweep
from tests.schema.samples import SAMPLES
from tests.support.factories import BOT, a_deletion_request, a_letter, new_job
from tests.support.visiting import Console

HOUR: Final = timedelta(hours=1)
SERVICES: Final = ("analytics", "billing", "conversations", "media")
MANY: Final = 60
"""Complete jobs: more than one page of a list."""


async def told(console: Console) -> None:
    """Fill the stores of `console`."""
    now = console.clock.now()
    jobs = [*_jobs(now), *_complete(now)]
    console.jobs.jobs.update({job.id: job for job in jobs})
    console.breakers.breakers["billing.example"] = Breaker(
        "billing.example", "s", BOT, now, "the API answered 503", 2, now - HOUR, now + HOUR
    )
    data = encode(SAMPLES["request_placed"])
    await console.letters.record(
        [
            a_letter(data=data[:-3], service="media", first_seen_at=now, last_seen_at=now),
            a_letter(data=data, service="media", reason=Reason.TOO_NEW, last_seen_at=now),
            a_letter(service="billing", status=DeadLetterStatus.DISCARDED, last_seen_at=now),
        ]
    )
    event = jobs[0].event_id
    sweep = Sweep.started(console.sweeps.new_id(), now - HOUR).completed(now)
    console.sweeps.sweeps[sweep.id] = sweep
    findings = (
        Finding("breakers", Verdict.OK, "no breaker is open"),
        Finding("canary", Verdict.FAILED, "was not recorded within 60 s", "start recovery"),
    )
    await console.examinations.keep(Examination(now - HOUR, "host-1", findings))
    request = a_deletion_request(*SERVICES, event_id=event, bot_id=BOT, now=now - HOUR)
    late = replace(a_deletion_request("media", now=now - 2 * HOUR), deadline=now - HOUR)
    done = a_deletion_request("media", now=now - HOUR).completed("media", jobs[-1].id, now)
    await console.requests.record([request, late, done])


def _jobs(now: datetime) -> list[Job]:
    """A job in each state, the first three of the same request."""
    past = PastAttempt(1, "worker-1/a", "messages", 4, now - HOUR / 2, STALE)
    placed = {"created_at": now - HOUR, "placed_at": now - HOUR, "requested_by": "shop"}
    failure = Failure("HttpUnavailable", "the API answered 503", now - HOUR)
    steps = (
        StepProgress("messages", StepStatus.COMPLETE, 5_120, None, 52, 0.25, "empty"),
        StepProgress("files", StepStatus.IN_PROGRESS, 12, "c7", 3, 2.0),
    )
    running = new_job(
        Status.IN_PROGRESS,
        service="conversations",
        bot_id=BOT,
        steps=steps,
        past_attempts=(past,),
        attempt=2,
        claimed_by="worker-2/b",
        last_modified_at=now,
        **placed,
    )
    same = {"bot_id": BOT, "event_ids": running.event_ids, **placed}
    other = {"service": "media", "last_modified_at": now, **placed}
    return [
        running,
        new_job(Status.COMPLETE, service="media", finished_at=now, last_modified_at=now, **same),
        new_job(
            Status.PENDING,
            service="billing",
            failure=failure,
            due=now + HOUR,
            parks=2,
            last_modified_at=now,
            **same,
        ),
        new_job(Status.FAILED, failure=failure, **other),
        new_job(Status.EXHAUSTED, attempt=3, failure=failure, past_attempts=(past,), **other),
        new_job(
            Status.COMPENSATED,
            service="billing",
            rollback_cause=failure,
            last_modified_at=now,
            **placed,
        ),
    ]


def _complete(now: datetime) -> list[Job]:
    """Jobs that completed in the last hours."""
    return [
        new_job(Status.COMPLETE, service="media", last_modified_at=now - n * HOUR / 4)
        for n in range(MANY)
    ]
