"""A browser and a console, shared by all tests of this folder.

Chromium is found on the PATH. Where it is missing, the tests are skipped, and the summary of the
run says how to install it; continuous integration installs it.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from playwright.async_api import Browser, async_playwright

from deletion.clock import SystemClock
from deletion.process.serving import serving
from tests.browser.stories import told
from tests.support.visiting import Console

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""In order of preference: the headless shell takes a third less CPU time than the others."""
FLAGS = ("--no-sandbox", "--disable-gpu", "--renderer-process-limit=1")
"""Nothing is drawn for anybody to look at, and each renderer costs a start."""
INSTALL = "Chromium is missing: apt-get install --no-install-recommends chromium-headless-shell"


@dataclass(frozen=True)
class Site:
    """A console that listens, and what stands behind it."""

    url: str
    console: Console


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each visit has a context of its own."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(INSTALL)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def running() -> AsyncIterator[Site]:
    """A console over stores in memory in which much has happened; its pages poll often."""
    console = Console(SystemClock())
    await told(console)
    app = console.app(poll_every="1s")
    async with serving(app, "127.0.0.1", 0, name="console", grace=1) as url:
        yield Site(url, console)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A console for one test."""
    async with running() as site:
        yield site
