"""A folder of files: `file:///path`, as on a volume that several services mount.

Not through obstore, which follows symbolic links out of the folder: a link is deleted, never what
it points to.
"""

import asyncio
import errno
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import unquote

from deletion.adapters.objects.bucket import Item, Mark, Page, Refusal, Way, one_by_one
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.ids import BOT_ID

T = TypeVar("T")
THREADS: Final = 4
PASSING: Final = frozenset({errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY})
"""Of network file systems, above all."""


UNCLEAR: Final = re.compile(r"[?#]|%2f", re.IGNORECASE)
"""Characters that people and URL parsers read differently."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def folder_of(url: str) -> Path:
    """The folder that `file:///path/of/a/folder` names; `%20` is a space.

    Raises `ValueError` for a URL that could mean another folder than it seems to.
    """
    scheme, _, named = url.partition("://")
    if scheme != "file" or not named.startswith("/"):
        raise ValueError("expected file:///path/of/a/folder")
    if UNCLEAR.search(named):
        raise ValueError("expected no ?, no # (which are %3F and %23) and no %2F in it")
    path = Path(unquote(named, errors="strict"))
    if path.parent == path or ".." in path.parts or CONTROL.search(str(path)):
        raise ValueError("expected the path of a folder, without .. and control characters")
    return path


class Folder:
    """The folder that a `file://` URL names."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        threads = ThreadPoolExecutor(THREADS)
        home = folder_of(url) / prefix.partition(BOT_ID)[0]
        self._files = Files(url, folder_of(url), home, prefix.count("/"), threads)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["OpenFolder"]:
        """There is nothing to connect."""
        yield OpenFolder(self._files)


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder keeps no versions."""

    files: "Files"

    async def ways(self) -> Sequence[Way]:
        """One."""
        return [self.files]

    async def retained_until(self, prefix: str) -> datetime | None:  # noqa: ARG002
        """Nothing is kept."""
        return None

    async def faults(self, *, accepted: bool) -> Sequence[str]:  # noqa: ARG002
        """None that can be seen beforehand."""
        return []


@dataclass(frozen=True, slots=True)
class Files:
    """Every file and link. The bot's folder, `depth` below the root, goes with its last one.

    `home` holds the folders of all bots. The mount point of a volume that is not mounted is an
    empty folder, where `home` is missing.
    """

    url: str
    root: Path
    home: Path
    depth: int
    threads: Executor
    name: str = "files"
    is_exact: bool = True

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """In the order that the file system lists, behind the file of a mark: from the beginning
        when there is none, or when that file is gone.
        """

        def listed() -> Page:
            walk = self._walk(prefix)
            if behind and behind[0] not in walk:  # walks on to behind it
                walk = self._walk(prefix)
            keys = list(islice(walk, limit))
            onward = (keys[-1], None) if keys else None
            return Page([Item(key) for key in keys], onward, is_last=len(keys) < limit)

        return await self._call(listed)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """One after the other, and with the last file of a folder the folder."""
        return await one_by_one(self._unlink, items)

    async def _unlink(self, item: Item) -> Refusal | None:
        return await self._call(partial(self._remove, item))

    def _walk(self, prefix: str) -> Iterator[str]:
        """Every key under `prefix`."""
        if not self.home.is_dir():
            raise ObjectsRefused(
                f"{self.home} does not exist",
                "correct the plan, mount its volume, or create it if no file was ever there",
            )
        base, real = self.root / prefix, os.path.realpath
        if Path(real(base)) != Path(real(self.root), prefix):
            raise ObjectsRefused(f"{base} is behind a symbolic link, which is not followed")
        if base.is_dir():
            yield from self._below(base)
        elif os.path.lexists(base):
            raise ObjectsRefused(f"{base} is no folder", "look what it is, and remove it by hand")

    def _below(self, base: Path) -> Iterator[str]:
        try:
            walks = [os.scandir(base)]
        except FileNotFoundError:  # its last file has gone meanwhile, and the folder too
            return
        try:
            while walks:
                entries = walks[-1]
                entry = next(entries, None)
                if entry is None:
                    walks.pop()
                elif entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # as above
                        walks.append(os.scandir(entry.path))
                else:
                    yield Path(entry.path).relative_to(self.root).as_posix()
        finally:
            for entries in walks:
                entries.close()

    def _remove(self, item: Item) -> Refusal | None:
        path = self.root / item.key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            code = errno.errorcode.get(error.errno or 0, "unknown")
            return Refusal(item, code, error.errno in PASSING)
        with suppress(OSError):  # one is not empty yet, or written to again
            for folder in path.parents:
                if len(folder.relative_to(self.root).parts) < self.depth:
                    break
                folder.rmdir()
        return None

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, function)
        except FileNotFoundError:  # deleted by another while it was walked
            raise ObjectsUnavailable(f"{self.url} changed while it was listed") from None
        except OSError as error:
            kind = ObjectsUnavailable if error.errno in PASSING else ObjectsRefused
            raise kind(f"{self.url} cannot be listed: {error.strerror}") from None
