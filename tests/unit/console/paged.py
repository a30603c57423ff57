"""The console's pages over stores in memory, and what stands on a page."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from itertools import groupby
from typing import Final

from console.access import KnownVisitor
from console.pages.render import Renderer
from console.stores import Stores, routers
from deletion.breaker import LocalBreakerStore
from deletion.job import NOT_LIVE
from deletion.ports import Unfinished
from tests.support.clock import VirtualClock
from tests.support.factories import POLICY
from tests.support.memory_console import MemoryDeletionJobs
from tests.support.memory_lists import MemoryJobLists, MemoryLetterLists
from tests.support.memory_requests import MemoryRequestStore
from tests.support.memory_stores import MemoryDeadLetterStore, MemoryJobStore
from tests.unit.console.visiting import Visited, visiting

VOID: Final = {"meta", "link", "input", "br"}
"""Elements without an end, as the templates write them."""


class MemoryCensus:
    """`deletion.ports.Census` on the jobs of `store`."""

    def __init__(self, store: MemoryJobStore) -> None:
        self._store = store

    async def unfinished(self) -> Sequence[Unfinished]:
        """See the port."""
        live = [job for job in self._store.jobs.values() if job.status not in NOT_LIVE]
        live.sort(key=lambda job: (job.service, job.status))
        return [
            Unfinished(service, status, len(group), min(job.created_at for job in group))
            for (service, status), jobs in groupby(live, lambda job: (job.service, job.status))
            if (group := list(jobs))
        ]


class Console:
    """Stores in memory, and a console that shows them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.requests = MemoryRequestStore()
        self.jobs = MemoryJobStore()
        self.letters = MemoryDeadLetterStore()
        self.breakers = LocalBreakerStore(self.clock)

    def stores(self) -> Stores:
        """The ports of the console."""
        return Stores(
            requests=self.requests,
            jobs=self.jobs,
            deletion_jobs=MemoryDeletionJobs(self.jobs),
            job_lists=MemoryJobLists(self.jobs),
            census=MemoryCensus(self.jobs),
            letters=self.letters,
            letter_lists=MemoryLetterLists(self.letters),
            event_letters=self.letters,
            breakers=self.breakers,
        )

    @asynccontextmanager
    async def visited(self) -> AsyncIterator[Visited]:
        """A visit, in virtual time."""
        render = Renderer(self.clock)
        pages = routers(self.stores(), self.clock, POLICY, render, KnownVisitor())
        async with visiting(pages, clock=self.clock, render=render) as visited:
            yield visited


class Page(HTMLParser):
    """What a browser makes of a page. Raises `AssertionError` for one that is not well formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []
        assert len(self.ids) == len(set(self.ids)), "an id is there twice"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element, and that nothing of it is inline script or style."""
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        assert not [name for name in names if name.startswith("on") or name == "style"]
        self.tags.append(tag)
        values = dict(attrs)
        if tag == "a" and (href := values.get("href")):
            self.links.append(href)
        if found := values.get("id"):
            self.ids.append(found)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of a drawing that ends itself."""
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """It ends the element that began last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect the words."""
        self.words += f" {data}"

    def says(self, text: str) -> bool:
        """Whether the page has these words, whatever the spaces between them."""
        return " ".join(text.split()) in " ".join(self.words.split())
