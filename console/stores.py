"""The stores of the console, and the pages and the API over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from console.api import create_api
from console.deletions import Deletions
from console.lists import JobLists, LetterLists, SweepLists
from console.metrics import Metrics
from console.operating import Operating
from console.overview import Overviews
from console.pages.acting import ActingPages
from console.pages.actions import ActionPages
from console.pages.doctor import doctor_routes
from console.pages.jobs import JobPages
from console.pages.letters import LetterPages
from console.pages.overview import overview_routes
from console.pages.render import Renderer
from console.pages.requests import RequestPages
from console.pages.sweeps import sweep_routes
from console.ports import DeletionJobs
from console.snapshots import Snapshots
from deletion.breaker import BreakerStore
from deletion.clock import Clock
from deletion.doctor import ExaminationStore
from deletion.job import LeasePolicy
from deletion.ledger import EventLetters, RequestStore
from deletion.operating.ports import ActionStore, PreviewStore
from deletion.ports import Census, DeadLetterStore, JobStore


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that is read, and what operators do."""

    requests: RequestStore
    jobs: JobStore
    deletion_jobs: DeletionJobs
    job_lists: JobLists
    census: Census
    letters: DeadLetterStore
    letter_lists: LetterLists
    event_letters: EventLetters
    breakers: BreakerStore
    sweeps: SweepLists
    actions: ActionStore
    previews: PreviewStore
    examinations: ExaminationStore


def routers(
    stores: Stores,
    clock: Clock,
    policy: LeasePolicy,
    render: Renderer,
    guard: Callable[..., Any],
    operating: Operating,
    metrics: Metrics,
) -> Sequence[APIRouter]:
    """The API, which `guard` describes in its OpenAPI document, and the pages."""
    snapshots = Snapshots(clock.monotonic)
    deletions = Deletions(
        stores.requests, stores.deletion_jobs, stores.event_letters, clock, policy
    )
    overviews = Overviews(
        requests=stores.requests,
        census=stores.census,
        jobs=stores.job_lists,
        letters=stores.letter_lists,
        breakers=stores.breakers,
        sweeps=stores.sweeps,
        clock=clock,
    )
    return [
        create_api(deletions, guard),
        overview_routes(overviews, snapshots, render),
        RequestPages(stores.requests, deletions, clock, snapshots, render).routes(),
        JobPages(
            stores.job_lists,
            stores.jobs,
            stores.deletion_jobs,
            clock,
            policy,
            snapshots,
            render,
        ).routes(),
        LetterPages(stores.letter_lists, stores.letters, snapshots, render).routes(),
        sweep_routes(stores.sweeps, snapshots, render, can_start=operating.recovery is not None),
        ActionPages(stores.actions, clock, snapshots, render).routes(),
        ActingPages(
            operating,
            stores.job_lists,
            stores.previews,
            stores.actions,
            clock,
            metrics,
            render,
        ).routes(),
        doctor_routes(stores.examinations, snapshots, render),
    ]
