"""A folder of files: all of the bot's, and nothing that a link points to."""

import asyncio
import errno
import threading
from pathlib import Path
from typing import cast

import pytest
from bson import ObjectId

from deletion.adapters.objects.cursor import Cursor
from deletion.adapters.objects.files import Folder
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.objects.step import ObjectsStep
from deletion.adapters.spec import StepConnections
from deletion.errors import ObjectsRefused
from deletion.plan import Batch
from tests.support.polling import eventually

BOT, OTHER = str(ObjectId()), str(ObjectId())


def step_of(root: Path, batch_size: int = 1000) -> ObjectsStep:
    spec = ObjectsSpec(url=root.as_uri(), prefix="bots/{bot_id}/", batch_size=batch_size)
    return spec.build("media", StepConnections(lambda _: pytest.fail("no database"), 10))


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


async def batches(step: ObjectsStep, cursor: str | None = None) -> list[Batch]:
    return [batch async for batch in step.delete(BOT, cursor)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "media files"
    fill(folder, f"bots/{OTHER}/a", f"bots/{BOT}x/a")
    return folder


@pytest.mark.parametrize("batch_size", [1000, 2, 1])
async def test_files_of_the_bot_go_with_their_folders(root: Path, batch_size: int) -> None:
    fill(root, *(f"bots/{BOT}/{name}" for name in ("a", "b/c", "b/d/e", "é #?", "b/d/f")))
    step = step_of(root, batch_size)
    assert not await step.is_empty(BOT)
    count = await step.count(BOT)
    done = await batches(step)
    assert max(batch.deleted for batch in done) <= batch_size
    assert sum(batch.deleted for batch in done) == count == 5
    assert await step.is_empty(BOT)
    assert sorted(path.name for path in (root / "bots").iterdir()) == sorted([OTHER, f"{BOT}x"])
    assert (root / "bots" / OTHER / "a").exists()
    assert (root / "bots" / f"{BOT}x" / "a").exists()


@pytest.mark.proves("objects-resumed")
async def test_a_later_run_deletes_what_is_left(root: Path) -> None:
    fill(root, *(f"bots/{BOT}/{n}" for n in range(9)))
    walk = step_of(root, 2).delete(BOT, None)
    first = await anext(walk)
    await walk.aclose()
    assert len(list((root / "bots" / BOT).iterdir())) == 7
    await batches(step_of(root, 2), first.cursor)
    assert await step_of(root).is_empty(BOT)


@pytest.mark.proves("refused-object")
@pytest.mark.parametrize("batch_size", [1000, 2, 1])
async def test_a_file_that_stays_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, root: Path, batch_size: int
) -> None:
    """As on a file system where some files are immutable."""
    fill(root, *(f"bots/{BOT}/{n % 3}/{n}" for n in range(12)))
    unlink, stay = Path.unlink, {"3", "4", "8"}

    def refusing(path: Path, *, missing_ok: bool = False) -> None:
        if path.name in stay:
            raise PermissionError(errno.EPERM, "immutable")
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refusing)
    with pytest.raises(ObjectsRefused, match=r"3 objects were not deleted.*/8' \(EPERM"):
        await batches(step_of(root, batch_size))
    left = [path.name for path in (root / "bots" / BOT).rglob("*") if path.is_file()]
    assert sorted(left) == sorted(stay)
    stay.clear()
    assert sum(batch.deleted for batch in await batches(step_of(root, batch_size))) == 3
    assert await step_of(root).is_empty(BOT)


@pytest.mark.proves("given-up-call")
async def test_a_deletion_that_is_given_up_ends_with_the_file_under_way(
    monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """As on a volume that hangs, and then comes back."""
    fill(root, *(f"bots/{BOT}/{n}" for n in range(9)))
    unlink, goes_on, begun = Path.unlink, threading.Event(), threading.Event()

    def hanging(path: Path, *, missing_ok: bool = False) -> None:
        begun.set()
        goes_on.wait(20)
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", hanging)
    step = step_of(root)
    running = asyncio.create_task(batches(step))
    await eventually(begun.is_set)
    running.cancel()
    await asyncio.wait([running])
    goes_on.set()
    await eventually(lambda: len(list((root / "bots" / BOT).iterdir())) == 8)
    await asyncio.to_thread(cast("Folder", step.bucket)._files.threads.shutdown)
    assert len(list((root / "bots" / BOT).iterdir())) == 8


async def test_a_mark_that_is_gone_begins_again(root: Path) -> None:
    fill(root, f"bots/{BOT}/a", f"bots/{BOT}/b")
    at = Cursor(root.as_uri(), "files", (f"bots/{BOT}/gone", None))
    await batches(step_of(root), at.text)
    assert await step_of(root).is_empty(BOT)


@pytest.mark.proves("symbolic-link")
async def test_a_link_is_deleted_and_not_what_it_points_to(root: Path) -> None:
    fill(root, f"bots/{BOT}/a")
    (root / "bots" / BOT / "folder").symlink_to(root / "bots" / OTHER)
    (root / "bots" / BOT / "file").symlink_to(root / "bots" / OTHER / "a")
    (root / "bots" / BOT / "nowhere").symlink_to(root / "nothing")
    step = step_of(root)
    await batches(step)
    assert await step.is_empty(BOT)
    assert (root / "bots" / OTHER / "a").read_text() == "x"


@pytest.mark.proves("symbolic-link")
async def test_the_folder_of_a_bot_that_is_a_link_is_refused(root: Path) -> None:
    (root / "bots" / BOT).symlink_to(root / "bots" / OTHER)
    for call in (step_of(root).delete(BOT, None).__anext__(), step_of(root).is_empty(BOT)):
        with pytest.raises(ObjectsRefused, match="symbolic link"):
            await call
    assert (root / "bots" / OTHER / "a").exists()


@pytest.mark.parametrize("is_link", [False, True])
async def test_what_is_in_place_of_the_bots_folder_is_not_empty(root: Path, is_link: bool) -> None:
    """A file, or a link to itself."""
    place = root / "bots" / BOT
    if is_link:
        place.symlink_to(place)
    else:
        place.write_text("x")
    with pytest.raises(ObjectsRefused, match=f"{BOT} is not a folder|symbolic link"):
        await step_of(root).is_empty(BOT)


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_volume_that_is_not_mounted_is_not_empty(tmp_path: Path, is_there: bool) -> None:
    """Its mount point is an empty folder."""
    volume = tmp_path / "volume"
    if is_there:
        volume.mkdir()
    with pytest.raises(ObjectsRefused, match=r"bots does not exist; .* mount its volume"):
        await step_of(volume).is_empty(BOT)


async def test_a_folder_is_looked_at_before_it_deletes_anything(root: Path) -> None:
    assert await step_of(root).faults() == []
    assert await step_of(root).bots() == [OTHER]
    assert await step_of(root).count(BOT) == 0
    empty = root / "empty"
    (empty / "bots").mkdir(parents=True)
    assert await step_of(empty).faults() is None
    fill(empty, "bots/settings.json")
    assert "none of the first 1" in "".join(await step_of(empty).faults() or ())
