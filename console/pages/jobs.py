"""Jobs: a list with filters, and everything about one."""

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.deletions import PLACE_SECONDS
from console.lists import JobFilter, JobLists, JobState
from console.pages import asked
from console.pages.machine import drawing
from console.pages.render import Renderer
from console.ports import DeletionJobs
from console.snapshots import Snapshots
from console.status import MOST_COUNTED, UNUSABLE, queue_of
from deletion.clock import Clock
from deletion.errors import with_type
from deletion.ids import is_object_id
from deletion.job import Job, LeasePolicy, Status, StepProgress
from deletion.operating.jobs import BY_STATUS
from deletion.operating.jobs import read as read_job
from deletion.operating.next_move import next_move
from deletion.ports import JobStore, Unreadable
from deletion.process.problems import Problem


@dataclass(frozen=True, slots=True)
class JobPages:
    """What the pages of jobs are made of."""

    lists: JobLists
    jobs: JobStore
    queues: DeletionJobs
    clock: Clock
    policy: LeasePolicy
    snapshots: Snapshots
    render: Renderer

    def routes(self) -> APIRouter:
        """`/jobs` and `/jobs/{job_id}`."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/jobs", self.listed, methods=["GET"])
        router.add_api_route("/jobs/{job_id}", self.one, methods=["GET"])
        return router

    async def listed(self, request: Request) -> Response:
        """A page of the list."""
        wanted = wanted_of(request)
        order, beyond = (
            asked.one_of(asked.Order, request, "order"),
            asked.position(request, is_object_id),
        )
        is_oldest_first = order is asked.Order.OLDEST
        read = partial(
            self.lists.page,
            wanted,
            beyond=beyond,
            oldest_first=is_oldest_first,
            limit=asked.LISTED + 1,
        )
        key = ("jobs", wanted, beyond, is_oldest_first)
        found = await self.snapshots.get(key, read)
        page = asked.Paged(request, found, lambda listed: listed.position)
        values = {
            "wanted": wanted,
            "page": page,
            "rows": [(each.position[1], self.state_of(each.job), each.job) for each in page.rows],
            "statuses": (*Status, *JobState),
            "status": wanted.state or wanted.status,
            "policy": self.policy,
            "is_oldest_first": is_oldest_first,
            "retry_at": asked.same(request, "/jobs/retry", "service", "bot", "status")
            if wanted.status in (None, *BY_STATUS)
            else None,
        }
        return self.render.page(request, "jobs.html", values, live=True)

    async def one(self, request: Request, job_id: str) -> Response:
        """Everything about one job."""
        job_id = asked.record_id(job_id)
        job = await self.snapshots.get(("job", job_id), partial(read_job, self.jobs, job_id))
        if job is None:
            raise Problem(HTTPStatus.NOT_FOUND, f"there is no job {job_id}")
        if isinstance(job, Unreadable):
            return self._unreadable(request, job_id, job.reason)
        try:
            return self.render.page(request, "job.html", await self._shown(job), live=True)
        except UNUSABLE as error:
            return self._unreadable(request, job_id, with_type(error))

    def _unreadable(self, request: Request, job_id: str, reason: str) -> Response:
        values = {"job_id": job_id, "reason": reason}
        return self.render.page(request, "job_unreadable.html", values)

    def state_of(self, job: Job | Unreadable) -> str:
        """The state as a list shows it: finer than the status."""
        now = self.clock.now()
        if isinstance(job, Unreadable):
            return "unreadable"
        if job.is_stale(now, self.policy):
            return "stale"
        return "parked" if job.is_parked(now) else job.status.value

    async def _shown(self, job: Job) -> dict[str, object]:
        now = self.clock.now()
        steps = [("", step) for step in job.steps]
        if job.rollback_cause:
            steps += [("undo ", step) for step in reversed(job.compensations)]
        return {
            "job": job,
            "state": self.state_of(job),
            "may_retry": job.is_retryable(now, self.policy),
            "next": next_move(job, self.policy, now),
            "ahead": await self._ahead(job),
            "most": MOST_COUNTED,
            "policy": self.policy,
            "drawing": drawing(job),
            "steps": [(prefix + step.name, step, least_rate(step)) for prefix, step in steps],
            "deleted": sum(step.deleted for step in job.steps),
        }

    async def _ahead(self, job: Job) -> int | None:
        """How many jobs of its queue are due earlier; None if it does not wait for a worker, or
        that cannot be counted in time.
        """
        place = queue_of(job, self.clock.now())
        if place is None:
            return None

        async def count() -> int | None:
            try:
                async with asyncio.timeout(PLACE_SECONDS):
                    return await self.queues.count_due(*place, MOST_COUNTED)
            except TimeoutError:
                return None

        return await self.snapshots.get(("place", job.id, place), count)


def wanted_of(request: Request) -> JobFilter:
    """Return the filters of a list of jobs; `status` names a status or a `JobState`.

    Raises a 422 problem for a filter that is not valid.
    """
    is_state = asked.given(request, "status") in tuple(JobState)
    return JobFilter(
        service=asked.service(request),
        bot_id=asked.object_id(request, "bot"),
        status=None if is_state else asked.one_of(Status, request, "status"),
        state=asked.one_of(JobState, request, "status") if is_state else None,
    )


def least_rate(step: StepProgress) -> float | None:
    """How many items a second the step deletes at least, while it deletes: as many as if each batch
    had taken as long as the slowest. None while nothing is known.
    """
    if not (step.deleted and step.batches and step.slowest):
        return None
    return step.deleted / step.batches / step.slowest
