"""The step of a bucket, over HTTP on moto's S3 server: all of the bot's, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from bson import ObjectId

from deletion.adapters.objects import s3 as s3_module
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import StepConnections
from deletion.clock import SystemClock, truncated
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.ids import is_object_id
from deletion.job import Job, Status, StepProgress
from deletion.plan import Batch, Plan
from deletion.runner import OnBatch, Runner
from tests.support.factories import POLICY, a_job
from tests.support.killed import Killed
from tests.support.memory_stores import MemoryJobStore
from tests.support.roots import one_root
from tests.support.s3 import S3, Fault, s3_server

BOT, OTHER = str(ObjectId()), str(ObjectId())
MINE = f"bots/{BOT}"
PLAIN = [f"{MINE}/{name}" for name in ("a", "b/c", "b/é%20 #?&<>", "d", "d!", "z/y/x", "%2F")]
ODD = [f"{MINE}/{name}" for name in ("", "/b", "./c", "../x", "d/", "\t", "e//", ".")]
"""Keys that obstore cannot name, or lists under the name of another."""
NEIGHBOURS = [MINE, f"{MINE}x/a", f"{MINE[:-1]}/a", f"bots/{OTHER}/a", f"Bots/{BOT}/a", "bots/"]


@pytest.fixture(scope="module", autouse=True)
def _one_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with one_root(tmp_path_factory.mktemp("roots")):
        yield


@pytest.fixture(scope="module")
async def s3() -> AsyncIterator[S3]:
    async with s3_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_module, "get_session", lambda: s3.session)  # which is slow to make
    s3.fails()
    yield
    s3.fails()


@pytest.fixture(params=[False, True], ids=["unversioned", "versioned"])
def versioned(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def bucket(s3: S3, versioned: bool) -> str:
    return await new_bucket(s3, versioned=versioned)


@pytest.fixture
async def plain(s3: S3) -> str:
    return await new_bucket(s3)


async def new_bucket(s3: S3, *, versioned: bool = False) -> str:
    name = f"media-{uuid4().hex[:12]}"
    async with s3.client() as client:
        await client.create_bucket(Bucket=name)
        if versioned:
            await client.put_bucket_versioning(
                Bucket=name, VersioningConfiguration={"Status": "Enabled"}
            )
    return name


def step_of(bucket: str, batch_size: int = 1000, call_seconds: float = 10) -> ObjectsStep:
    spec = ObjectsSpec(url=f"s3://{bucket}", prefix="bots/{bot_id}/", batch_size=batch_size)
    return spec.build("media", StepConnections(lambda _: pytest.fail("no database"), call_seconds))


async def batches(step: ObjectsStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(BOT, cursor)]


async def all_deleted(step: ObjectsStep, times: int = 20) -> list[Batch]:
    """Delete as the runner does: from the latest cursor on, after each error that may pass."""
    done: list[Batch] = []
    for _ in range(times):
        try:
            async for batch in step.delete(BOT, done[-1].cursor if done else None):
                done.append(batch)
        except ObjectsUnavailable:
            continue
        return done
    raise AssertionError(f"still failing after {times} times")


@pytest.mark.proves("whole-prefix")
@pytest.mark.parametrize("batch_size", [1000, 3, 1])
async def test_all_of_the_bot_goes_and_nothing_of_a_neighbour(
    s3: S3, bucket: str, batch_size: int
) -> None:
    s3.fill(bucket, PLAIN + ODD + NEIGHBOURS)
    step = step_of(bucket, batch_size)
    count = await step.count(BOT)
    assert not await step.is_empty(BOT)
    done = await batches(step)
    assert max(batch.deleted for batch in done) <= batch_size
    assert sum(batch.deleted for batch in done) == count == len(PLAIN + ODD)
    assert await step.is_empty(BOT)
    assert await s3.keys(bucket) == sorted(NEIGHBOURS)


@pytest.mark.proves("whole-prefix")
async def test_the_marker_of_a_folder_goes_and_the_object_of_its_name_stays(
    s3: S3, plain: str
) -> None:
    """obstore lists `bots/7/` as `bots/7`, beside keys that it does name."""
    async with s3.client() as client:
        await client.put_object(Bucket=plain, Key=f"{MINE}/", Body=b"")
    s3.fill(plain, [MINE, f"{MINE}/a"])
    step = step_of(plain)
    assert [batch.deleted for batch in await batches(step)] == [1, 1]
    assert await s3.keys(plain) == [MINE]


@pytest.mark.parametrize("body", ["", "x"])
@pytest.mark.parametrize("batch_size", [1000, 2, 1])
async def test_markers_inside_are_deleted_whatever_they_hold(
    s3: S3, plain: str, body: str, batch_size: int
) -> None:
    s3.fill(plain, [f"{MINE}/{n}" for n in range(5)])
    s3.fill(plain, [f"{MINE}/{n}/" for n in range(5)], body)
    step = step_of(plain, batch_size)
    done = await batches(step)
    assert await step.is_empty(BOT)
    if not body:
        assert sum(batch.deleted for batch in done) == 10


@pytest.mark.proves("every-version")
async def test_every_version_and_delete_marker_goes(s3: S3) -> None:
    bucket = await new_bucket(s3, versioned=True)
    for _ in range(3):
        s3.fill(bucket, [f"{MINE}/a", f"{MINE}/b", MINE])
    async with s3.client() as client:
        await client.delete_object(Bucket=bucket, Key=f"{MINE}/a")
        await client.delete_object(Bucket=bucket, Key=f"{MINE}/b")
    step = step_of(bucket, 2)
    assert await s3.keys(bucket) == [MINE]
    assert not await step.is_empty(BOT), "its versions are still there"
    assert await step.count(BOT) == 8
    assert sum(batch.deleted for batch in await batches(step)) == 8
    assert await step.is_empty(BOT)
    assert [key for key, _ in await s3.versions(bucket)] == [MINE] * 3


@pytest.mark.proves("every-version")
async def test_versions_from_before_a_suspension_go_too(s3: S3) -> None:
    bucket = await new_bucket(s3, versioned=True)
    s3.fill(bucket, [f"{MINE}/a"])
    s3.fill(bucket, [f"{MINE}/a"])
    async with s3.client() as client:
        await client.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
        )
    assert [batch.deleted for batch in await batches(step_of(bucket))] == [2]
    assert await s3.versions(bucket) == []


@pytest.mark.proves("every-version")
async def test_uploads_that_were_not_finished_are_data_too(s3: S3, plain: str) -> None:
    async with s3.client() as client:
        for key in (f"{MINE}/a", f"{MINE}/a", MINE):
            await client.create_multipart_upload(Bucket=plain, Key=key)
        step = step_of(plain)
        assert not await step.is_empty(BOT)
        assert [batch.deleted for batch in await batches(step)] == [2]
        assert await step.is_empty(BOT)
        left = await client.list_multipart_uploads(Bucket=plain)
        assert [upload["Key"] for upload in left["Uploads"]] == [MINE]


@pytest.mark.proves("objects-resumed")
async def test_from_every_cursor_a_later_run_deletes_what_is_left(s3: S3, bucket: str) -> None:
    keys, step = PLAIN[:4] + ODD[:3], step_of(bucket, 2)
    s3.fill(bucket, keys)
    for stop in range(1, len(await batches(step)) + 1):
        s3.fill(bucket, keys)
        walk, cursor = step.delete(BOT, None), None
        for _ in range(stop):
            cursor = (await anext(walk)).cursor
        await walk.aclose()
        await batches(step, cursor)
        assert await step.is_empty(BOT), cursor


async def test_a_cursor_of_a_way_that_is_no_longer_taken_begins_anew(s3: S3, plain: str) -> None:
    """As when versions were switched on or off in between."""
    s3.fill(plain, [f"{MINE}/a", f"{MINE}/b"])
    cursor = {"bucket": f"s3://{plain}", "way": "gone", "behind": ["z", None]}
    assert [b.deleted for b in await batches(step_of(plain), json.dumps(cursor))] == [2]


async def test_nothing_is_deleted_before_it_is_asked_for(s3: S3, bucket: str) -> None:
    s3.fill(bucket, PLAIN)
    walk = step_of(bucket, 3).delete(BOT, None)
    await anext(walk)
    await walk.aclose()
    assert len(await s3.keys(bucket)) == len(PLAIN) - 3


async def test_a_bot_with_nothing_has_no_batches(bucket: str) -> None:
    step = step_of(bucket)
    assert await batches(step) == []
    assert await step.is_empty(BOT)
    assert (await step.count(BOT), step.read_back) == (0, "strong")


async def test_a_bot_with_nothing_costs_seven_requests(s3: S3, plain: str) -> None:
    """A listing, as a bare deletion would make it, and six more: whether versions are kept, the
    versions and the unfinished uploads, each before and again for the read-back.
    """
    step = step_of(plain)
    s3.fails()
    await batches(step)
    await step.is_empty(BOT)
    assert s3.seen()["any"] == 7


@pytest.mark.proves("objects-resumed")
@pytest.mark.parametrize(
    "faults",
    [
        [Fault("delete", 500, times=6)],
        [Fault("delete", 503, "SlowDown", times=6)],
        [Fault("delete", 503, "SlowDown", after=True, times=6)],
        [Fault("list", 503, "SlowDown", times=6)],
        [Fault("any", 500, times=9, skip=3)],
        [Fault("delete", refuse="odd", times=6)],
        [Fault("delete", refuse="odd", code="SlowDown", times=3, skip=2)],
    ],
    ids=["500", "503", "503 and done", "listing", "any", "in part", "in part, later"],
)
async def test_faults_that_pass_delay_and_lose_nothing(
    s3: S3, bucket: str, faults: list[Fault]
) -> None:
    keys = [f"{MINE}/{n:02}" for n in range(24)]
    s3.fill(bucket, keys + NEIGHBOURS)
    s3.fails(*faults)
    step = step_of(bucket, 6)
    done = await all_deleted(step)
    assert sum(batch.deleted for batch in done) <= len(keys)
    s3.fails()
    assert await step.is_empty(BOT)
    assert await s3.keys(bucket) == sorted(NEIGHBOURS)


@pytest.mark.proves("objects-resumed")
async def test_a_server_that_hangs_ends_each_call_in_time(s3: S3, bucket: str) -> None:
    s3.fill(bucket, PLAIN)
    step = step_of(bucket, call_seconds=1)
    s3.fails(Fault("any", times=20, hang=4))
    for call in (step.is_empty(BOT), step.delete(BOT, None).__anext__()):
        began = asyncio.get_running_loop().time()
        with pytest.raises(ObjectsUnavailable):
            await call
        assert asyncio.get_running_loop().time() - began < 3
    s3.fails()
    await all_deleted(step_of(bucket))
    assert await step.is_empty(BOT)


async def test_what_is_denied_is_named_and_the_rest_is_gone(s3: S3, bucket: str) -> None:
    locked = f"{MINE}/b"
    s3.fill(bucket, [f"{MINE}/a", locked, f"{MINE}/c"])
    s3.fails(Fault("delete", code="AccessDenied", refuse=[locked], times=9))
    step = step_of(bucket)
    with pytest.raises(ObjectsRefused, match=rf"'{locked}' in version .* \(AccessDenied"):
        await batches(step)
    s3.fails()
    assert await s3.keys(bucket) == [locked]
    assert not await step.is_empty(BOT)


@pytest.mark.proves("refused-object")
@pytest.mark.parametrize("lacks_versions", [False, True], ids=["", "no versions"])
@pytest.mark.parametrize("batch_size", [1000, 6, 1])
async def test_locked_objects_hold_up_no_other(
    s3: S3, bucket: str, batch_size: int, lacks_versions: bool, versioned: bool
) -> None:
    """Several versions of each key in a bucket that keeps them."""
    if lacks_versions and versioned:
        pytest.skip("there is no such server")
    keys = [f"{MINE}/{n:02}" for n in range(24)]
    locked = [keys[n] for n in (0, 1, 7, 12, 23)]
    s3.fill(bucket, keys + NEIGHBOURS)
    s3.fill(bucket, keys)
    faults = [Fault("versions", 501, "NotImplemented", times=999)] if lacks_versions else []
    s3.fails(*faults, Fault("delete", code="AccessDenied", refuse=locked, times=999))
    with pytest.raises(ObjectsRefused) as refused:
        await batches(step := step_of(bucket, batch_size))
    assert f"{10 if versioned else 5} objects were not deleted" in str(refused.value)
    assert await s3.keys(bucket) == sorted(locked + NEIGHBOURS)
    s3.fails(*faults)
    assert sum(batch.deleted for batch in await batches(step)) == (10 if versioned else 5)
    assert await step.is_empty(BOT)


@pytest.mark.proves("refused-object")
async def test_a_job_deletes_all_that_it_may_before_it_fails_and_completes_later(
    s3: S3, bucket: str
) -> None:
    """By the real runner, through an outage: what failed names the object, whatever went before."""
    keys = [f"{MINE}/{n:02}" for n in range(20)]
    s3.fill(bucket, keys)
    busy = [Fault("delete", 503, "SlowDown", skip=skip) for skip in (2, 4)]
    s3.fails(*busy, Fault("delete", code="AccessDenied", refuse=keys[2:3], times=999))
    runner, store, job = running(bucket)
    failed = await runner.run(job)
    assert failed
    assert failed.failure
    assert (failed.status, failed.failure.type) == (Status.FAILED, "ObjectsRefused")
    assert "1 object was not deleted from" in failed.failure.message
    assert f"{keys[2]!r}" in failed.failure.message
    assert await s3.keys(bucket) == keys[2:3]
    s3.fails()
    ended = await runner.run(claimed(store, failed))
    assert ended
    assert ended.status is Status.COMPLETE
    assert await s3.keys(bucket) == []


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchBucket", "SignatureDoesNotMatch"])
async def test_an_error_that_will_not_pass_says_what_to_do(s3: S3, plain: str, code: str) -> None:
    s3.fill(plain, PLAIN)
    s3.fails(Fault("any", 403, code, times=99))
    step = step_of(plain)
    for call in (step.is_empty(BOT), step.delete(BOT, None).__anext__(), step.count(BOT)):
        with pytest.raises(ObjectsRefused, match=f"{plain} refused .* with 403 {code}; "):
            await call
    assert code in "".join(await step.faults() or ())


async def test_who_may_not_see_the_versioning_takes_the_way_that_is_right_for_both(
    s3: S3, bucket: str
) -> None:
    s3.fill(bucket, PLAIN)
    s3.fails(Fault("versioning", 403, "AccessDenied", times=99))
    await batches(step_of(bucket))
    assert await s3.versions(bucket) == []


async def test_a_server_without_versions_is_read_by_its_objects(s3: S3, plain: str) -> None:
    s3.fill(plain, PLAIN + ODD)
    s3.fails(Fault("versions", 501, "NotImplemented", times=99))
    step = step_of(plain, 4)
    assert not await step.is_empty(BOT)
    assert sum(batch.deleted for batch in await batches(step)) == len(PLAIN + ODD)
    assert await step.is_empty(BOT)


async def test_a_server_that_is_down_may_come_back(
    monkeypatch: pytest.MonkeyPatch, plain: str
) -> None:
    for variable in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    step = step_of(plain)
    for call in (step.is_empty(BOT), step.delete(BOT, None).__anext__()):
        with pytest.raises(ObjectsUnavailable, match="does not answer"):
            await call


async def test_a_bucket_is_looked_at_before_it_deletes_anything(s3: S3, plain: str) -> None:
    step = step_of(plain)
    assert await step.faults() is None, "there is nothing to look at"
    s3.fill(plain, ["bots/settings.json"])
    assert "none of the first 1 objects under 'bots/'" in "".join(await step.faults() or ())
    assert await step.bots() == []
    s3.fill(plain, PLAIN)
    assert await step.faults() == []
    assert BOT in await step.bots()
    assert all(is_object_id(bot) for bot in await step.bots())
    [missing] = await step_of("no-such-bucket").faults() or ()
    assert "does not exist" in missing


@pytest.mark.proves("every-version")
async def test_a_bucket_that_locks_new_objects_is_a_fault(s3: S3) -> None:
    name = f"locked-{uuid4().hex[:12]}"
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}
    async with s3.client() as client:
        await client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        await client.put_object_lock_configuration(
            Bucket=name,
            ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule},
        )
        await client.put_object(Bucket=name, Key=f"{MINE}/a", Body=b"x")
    step = step_of(name)
    [fault] = await step.faults() or ()
    assert "locks new objects (COMPLIANCE)" in fault
    with pytest.raises(ObjectsRefused, match=r"/a' in version .* \(AccessDenied"):
        await batches(step)
    assert not await step.is_empty(BOT)


async def test_credentials_are_in_no_error(s3: S3, plain: str) -> None:
    s3.fails(Fault("any", 403, "InvalidAccessKeyId", times=99))
    with pytest.raises(ObjectsRefused) as refused:
        await step_of(plain).is_empty(BOT)
    for secret in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert s3.env[secret] not in f"{refused.value}{step_of(plain)!r}"


async def test_runs_share_a_step_and_a_cancelled_one_leaves_the_others_alone(
    s3: S3, plain: str
) -> None:
    bots = [str(ObjectId()) for _ in range(6)]
    s3.fill(plain, [f"bots/{bot}/{n}" for bot in bots for n in range(4)])
    step = step_of(plain, 2)

    async def run(bot: str) -> None:
        async for _ in step.delete(bot, None):
            pass

    runs = [asyncio.create_task(run(bot)) for bot in bots]
    await asyncio.sleep(0)
    runs[0].cancel()
    ended = await asyncio.gather(*runs, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert ended[1:] == [None] * 5
    assert all([await step.is_empty(bot) for bot in bots[1:]])


def running(
    bucket: str,
    stopping: asyncio.Event | None = None,
    ends: OnBatch = lambda _step, _deleted: None,
) -> tuple[Runner, MemoryJobStore, Job]:
    """The real runner, and a job that a step over `bucket` is to complete."""
    now = truncated(datetime.now(UTC))
    job = replace(
        a_job(steps=(StepProgress("media"),)),
        bot_id=BOT,
        created_at=now,
        placed_at=now,
        last_modified_at=now,
    )
    store = MemoryJobStore()
    store.jobs[job.id] = job
    plan, stopping = Plan(job.service, (step_of(bucket, 4),)), stopping or asyncio.Event()
    runner = Runner(plan, store, SystemClock(), POLICY, stopping=stopping, on_batch=ends)
    return runner, store, job


def claimed(store: MemoryJobStore, job: Job) -> Job:
    """A later run of it, by another process."""
    if job.due is None:
        job = job.resume(job.last_modified_at + timedelta(days=1), POLICY).after
    job = store.jobs[job.id] = job.claim("another", job.last_modified_at).after
    return job


@pytest.mark.parametrize("ways", [["crash"], ["stop"], ["crash", "stop", "crash"]], ids="-".join)
async def test_a_job_that_is_ended_again_and_again_deletes_each_object_once(
    s3: S3, bucket: str, ways: list[str]
) -> None:
    """By the real runner: `crash` loses the checkpoint of its last batch, `stop` hands over."""
    keys = [f"{MINE}/{n:02}" for n in range(20)]
    s3.fill(bucket, keys + NEIGHBOURS)
    stopping, left = asyncio.Event(), [*ways]

    def ends(_step: str, _deleted: int) -> None:
        way = left.pop(0) if left else ""
        if way == "crash":
            raise Killed
        if way == "stop":
            stopping.set()

    runner, store, job = running(bucket, stopping, ends)
    for _ in range(len(ways)):
        with suppress(Killed):
            await runner.run(job)
        stopping.clear()
        job = claimed(store, store.jobs[job.id])
    ended = await runner.run(job)
    assert ended
    assert ended.status is Status.COMPLETE
    [progress] = ended.steps
    assert progress.deleted == len(keys) - 4 * ways.count("crash"), "a lost checkpoint counts none"
    assert progress.read_back == "strong"
    assert await s3.keys(bucket) == sorted(NEIGHBOURS)
