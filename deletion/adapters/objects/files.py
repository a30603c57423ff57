"""A folder of files (`file:///path`), for example on a volume that several services mount.

obstore is not used, because it follows symbolic links out of the folder. Here a link is deleted,
never its target.
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

from deletion.adapters.objects.bucket import Item, Lister, Mark, Page, Refusal, one_by_one
from deletion.errors import ObjectsRefused, ObjectsUnavailable
from deletion.ids import BOT_ID

T = TypeVar("T")
THREADS: Final = 4
PASSING: Final = frozenset({errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY})
"""Errors that may pass, most of them of network file systems."""


UNCLEAR: Final = re.compile(r"[?#]|%2f", re.IGNORECASE)
"""Characters that people and URL parsers read differently."""
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def folder_of(url: str) -> Path:
    """The folder that `file:///path/of/a/folder` names; `%20` is a space.

    Raises `ValueError` for a URL that could be read as another folder.
    """
    scheme, _, named = url.partition("://")
    if scheme != "file" or not named.startswith("/"):
        raise ValueError("expected file:///path/of/a/folder")
    if UNCLEAR.search(named):
        raise ValueError("expected no %2F, ? or # in it (write ? as %3F and # as %23)")
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
        """Yield the folder; there is nothing to connect."""
        yield OpenFolder(self._files)


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A folder, which keeps no versions."""

    files: "Files"

    async def listers(self) -> Sequence[Lister]:
        """The only lister: its files."""
        return [self.files]

    async def retained_until(self, prefix: str) -> datetime | None:  # noqa: ARG002
        """None: a deleted file is gone."""
        return None

    async def faults(self, *, accepted: bool) -> Sequence[str]:  # noqa: ARG002
        """None: a folder has no such configuration."""
        return []


@dataclass(frozen=True, slots=True)
class Files:
    """Every file and link; a folder goes with its last file, up to the bot's own.

    The bot's folder is `depth` levels below the root. `home` contains the folders of all bots; it
    is missing when the volume is not mounted.
    """

    url: str
    root: Path
    home: Path
    depth: int
    threads: Executor
    name: str = "files"
    reads_back: bool = True

    async def page(self, prefix: str, behind: Mark | None, limit: int) -> Page:
        """List in the file system's order, after the file of the mark `behind`.

        Begins at the beginning without a mark, or when its file is gone.
        """

        def listed() -> Page:
            walk = self._walk(prefix)
            if behind and behind[0] not in walk:  # moves the walk past the file
                walk = self._walk(prefix)
            keys = list(islice(walk, limit))
            onward = (keys[-1], None) if keys else None
            return Page([Item(key) for key in keys], onward, is_last=len(keys) < limit)

        return await self._call(listed)

    async def remove(self, items: Sequence[Item]) -> Sequence[Refusal]:
        """Delete one by one; a folder goes with its last file."""
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
            raise ObjectsRefused(f"{base} is not a folder", "look at it, and remove it by hand")

    def _below(self, base: Path) -> Iterator[str]:
        try:
            walks = [os.scandir(base)]
        except FileNotFoundError:  # removed meanwhile, with its last file
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
        with suppress(OSError):  # a folder is not empty yet, or is written to again
            for folder in path.parents:
                if len(folder.relative_to(self.root).parts) < self.depth:
                    break
                folder.rmdir()
        return None

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, function)
        except FileNotFoundError:  # another process removed a folder during the walk
            raise ObjectsUnavailable(f"{self.url} changed while it was listed") from None
        except OSError as error:
            kind = ObjectsUnavailable if error.errno in PASSING else ObjectsRefused
            raise kind(f"{self.url} cannot be listed: {error.strerror}") from None
