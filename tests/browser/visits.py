"""Visits of people to the console, and what the browser found wrong with each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, expect

from console.users import User
from tests.browser.conftest import Site
from tests.support.visiting import OPERATOR

WITHIN = 60_000.0
"""Milliseconds; far more than anything waited for takes."""
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Visit:
    """A page of a browser, and what it complained about or asked elsewhere."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        answer = await self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == 200, path

    async def log_in(self, user: User = OPERATOR) -> None:
        await self.page.goto(self.url + "/jobs?status=failed")
        await self.page.get_by_label("Token").fill(user.token.get_secret_value())
        await self.page.get_by_role("button", name="Log in").click()
        await expect(self.page).to_have_url(self.url + "/jobs?status=failed")

    def _watch(self) -> None:
        own = urlsplit(self.url).netloc

        def asked(request: Any) -> None:
            if urlsplit(request.url).netloc != own:
                self.complaints.append(f"asked {request.url}")

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(message.text)

        self.page.on("request", asked)
        self.page.on("console", said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))


@asynccontextmanager
async def visit(
    browser: Browser, site: Site, *, user: User = OPERATOR, **options: Any
) -> AsyncIterator[Visit]:
    """A visit by `user`, in a context of its own. At the end nothing may have been wrong."""
    context = await browser.new_context(**options)
    try:
        context.set_default_timeout(WITHIN)
        await context.add_init_script(VIOLATIONS)
        visit = Visit(await context.new_page(), site.url)
        visit._watch()
        await visit.log_in(user)
        yield visit
        assert visit.complaints == []
    finally:
        await context.close()


async def tour(site: Site) -> list[str]:
    """The address of every page."""
    newest = next(iter(site.console.letters.letters))
    event = next(iter(site.console.requests.requests))
    jobs = [f"/jobs/{job.id}" for job in [*site.console.jobs.jobs.values()][:6]]
    pages = [
        "/",
        "/sweeps",
        "/actions",
        "/doctor",
        "/requests",
        "/jobs",
        "/dead-letters",
        f"/requests/{event}",
    ]
    return [*pages, f"/dead-letters/{newest}", "/jobs?service=media&order=oldest", *jobs]
