"""Every guarded change: it is made of the state it expects, and refused of any other."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deletion.errors import LeaseLost, TransitionError
from deletion.job import RULES, Job, Status, StepProgress
from deletion.ports import JobStore, Recorded, RecordOutcome
from tests.conformance.job_store.changes import CHANGES, FAILURE, INTERRUPTION, fresh
from tests.conformance.job_store.jobs import LIVE, POLICY, SILENT, TICK, Open, put, stored
from tests.support.clock import START
from tests.support.factories import LATER, new_job, request_for

# Each transition from each of its sources: the job before it, and the change.
UNDERNEATH: dict[str, Callable[[Job], Any]] = {
    "status": lambda job: next(s for s in LIVE if s is not job.status),
    "attempt": lambda job: job.attempt + 1,
    "claimed_by": lambda job: "worker/somebody-else",
    "last_modified_at": lambda job: job.last_modified_at + TICK,
    "placed_at": lambda job: job.placed_at + TICK,
}


def test_every_rule_and_every_guarded_field_is_under_test() -> None:
    assert {name.split()[0] for name in CHANGES} == set(RULES)
    for name, rule in RULES.items():
        sources = {job.status for key, (job, _) in CHANGES.items() if key.split()[0] == name}
        assert sources == rule.sources
        assert set(rule.guard) <= set(UNDERNEATH)


class TestApplying:
    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_change_of_an_unchanged_job_is_written(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        assert await store.apply(change) == change.after
        assert await stored(store, job) == change.after

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_repeated_change_answers_as_the_first_time(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        assert await store.apply(change) == await store.apply(change) == change.after
        assert await stored(store, job) == change.after

    @pytest.mark.parametrize(
        "name", [name for name in CHANGES if name not in ("complete", "compensate")]
    )
    async def test_a_repeated_change_of_a_job_that_was_joined_since_answers_the_same(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        await store.apply(change)
        await store.record([request_for(job)])
        assert await store.apply(change) == change.after
        assert len((await stored(store, job)).event_ids) == 2

    async def test_a_repeated_change_that_was_moved_on_since_is_refused(
        self, store: JobStore
    ) -> None:
        """Whose claim was resumed and claimed again must not take itself for the holder."""
        job, claim = fresh("claim pending")
        await put(store, job)
        claimed = await store.apply(claim)
        resumed = await store.apply(claimed.resume(SILENT, POLICY))
        moved = await store.apply(resumed.claim("worker/next", SILENT))
        with pytest.raises(LeaseLost):
            await store.apply(claim)
        assert await stored(store, job) == moved

    async def test_a_compensated_job_is_not_started_anew_beside_a_live_one_of_its_bot(
        self, store: JobStore
    ) -> None:
        job, retry = fresh("retry compensated")
        await put(store, job)
        newer = await put(store, new_job(bot_id=job.bot_id))
        with pytest.raises(TransitionError, match="another job of its bot is live"):
            await store.apply(retry)
        assert await stored(store, job) == job
        await store.apply(newer.complete(LATER))
        assert await store.apply(retry) == retry.after

    @pytest.mark.proves("one-holder")
    @pytest.mark.parametrize(
        ("name", "field"),
        [(name, field) for name in CHANGES for field in RULES[name.split()[0]].guard],
    )
    async def test_a_change_is_refused_when_a_guarded_field_changed_underneath(
        self, store: JobStore, name: str, field: str
    ) -> None:
        job, change = fresh(name)
        moved = await put(store, replace(job, **{field: UNDERNEATH[field](job)}))
        with pytest.raises(LeaseLost, match=job.id):
            await store.apply(change)
        assert await stored(store, job) == moved

    @pytest.mark.proves("late-checkpoint")
    async def test_a_checkpoint_that_arrives_late_overwrites_nothing(self, store: JobStore) -> None:
        """Its answer was lost, its repetition counted, and the run has begun a step since."""
        job, late = fresh("checkpoint")
        await put(store, job)
        beaten = await store.apply(late)
        begin = beaten.begin(LATER, StepProgress("first").began(START), is_compensated=True)
        begun = await store.apply(begin)
        with pytest.raises(LeaseLost):
            await store.apply(late)
        assert await stored(store, job) == begun

    @pytest.mark.parametrize("name", ["complete", "fail", "hand_over", "park"])
    async def test_a_heartbeat_underneath_does_not_cost_a_run_its_last_write(
        self, store: JobStore, name: str
    ) -> None:
        job, change = fresh(name)
        await put(store, job)
        await store.apply(job.checkpoint(START + timedelta(milliseconds=500)))
        assert await store.apply(change) == change.after

    @pytest.mark.parametrize("name", CHANGES)
    async def test_a_change_of_a_job_that_is_gone_is_refused(
        self, store: JobStore, name: str
    ) -> None:
        _, change = fresh(name)
        with pytest.raises(LeaseLost):
            await store.apply(change)

    async def test_each_change_of_a_group_has_its_own_outcome(self, store: JobStore) -> None:
        """What a driver reports of a bulk are totals: nobody may be told another's outcome."""
        jobs = [await put(store, new_job()) for _ in range(30)]
        for job in jobs[::3]:
            await store.apply(job.fail(FAILURE))
        repeated = [await store.apply(job.complete(LATER)) for job in jobs[1::3]]
        answers = await asyncio.gather(
            *(store.apply(job.complete(LATER)) for job in jobs), return_exceptions=True
        )
        assert all(isinstance(answer, LeaseLost) for answer in answers[::3])
        assert answers[1::3] == repeated
        assert [job.status for job in answers[2::3] if isinstance(job, Job)] == ["complete"] * 10
        assert [(await stored(store, job)).status for job in jobs] == [
            Status.FAILED,
            Status.COMPLETE,
            Status.COMPLETE,
        ] * 10

    @pytest.mark.proves("one-holder")
    async def test_of_concurrent_claims_exactly_one_wins(self, open_store: Open) -> None:
        stores = [await open_store() for _ in range(8)]
        for status in (Status.PENDING, Status.FAILED):
            job = await put(stores[0], new_job(status=status, due=START))
            claims = [job.claim(f"worker/{n}", LATER) for n in range(len(stores))]
            answers = await asyncio.gather(
                *(store.apply(claim) for store, claim in zip(stores, claims, strict=True)),
                return_exceptions=True,
            )
            won = [answer for answer in answers if isinstance(answer, Job)]
            assert len(won) == 1
            assert sum(isinstance(answer, LeaseLost) for answer in answers) == len(stores) - 1
            assert await stored(stores[0], job) == won[0]

    async def test_a_resumption_and_a_late_heartbeat_do_not_both_count(
        self, open_store: Open
    ) -> None:
        run, sweep = await open_store(), await open_store()
        for _ in range(10):
            job = await put(run, new_job())
            answers = await asyncio.gather(
                run.apply(job.checkpoint(SILENT)),
                sweep.apply(job.resume(SILENT, POLICY)),
                return_exceptions=True,
            )
            assert sorted(isinstance(answer, Job) for answer in answers) == [False, True]

    async def test_a_claim_by_an_old_read_after_a_hand_over_in_the_same_millisecond_is_refused(
        self, store: JobStore
    ) -> None:
        """Status, attempt and due are as before: only `last_modified_at` tells."""
        job = await put(
            store, new_job(status=Status.FAILED, attempt=0, failure=INTERRUPTION, due=START)
        )
        old = job.claim("worker/slow", START)
        claimed = await store.apply(job.claim(job.claimed_by, START))
        again = await store.apply(claimed.hand_over(replace(INTERRUPTION, at=START)))
        assert (again.status, again.attempt, again.claimed_by, again.due) == (
            job.status,
            job.attempt,
            job.claimed_by,
            job.due,
        )
        with pytest.raises(LeaseLost):
            await store.apply(old)
        assert await stored(store, job) == again

    async def test_a_retried_job_still_holds_its_bot(self, store: JobStore) -> None:
        job = await put(store, new_job(status=Status.EXHAUSTED, attempt=3))
        await store.apply(job.retry(LATER, POLICY))
        [outcome] = await store.record([request_for(job)])
        assert outcome == Recorded(RecordOutcome.JOINED, job.id)
