"""The console's pages in Chromium: what a person can do, and what a browser must not have to do."""

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from deletion.job import Status
from tests.browser.conftest import Site, running
from tests.browser.visits import WITHIN, tour, visit
from tests.browser.walk import SCHEMES, WIDTHS, Scheme, Seen, look_at, walked
from tests.support.factories import BOT, new_job
from tests.support.polling import eventually
from tests.support.visiting import VIEWER

TABS = 7
"""One more than the connections that a browser opens to one host."""


@pytest.fixture(scope="module")
async def walk(browser: Browser) -> list[Seen]:
    """What all pages looked like, of a site of their own."""
    async with running() as site, visit(browser, site) as visited:
        return await walked(visited, site)


@pytest.mark.proves("console-pages")
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_page_is_accessible_and_breaks_no_policy(
    walk: list[Seen], scheme: Scheme
) -> None:
    for seen in walk:
        assert seen.violations == [], seen.path
        assert not seen.barriers[scheme], f"{seen.path}\n{seen.barriers[scheme]}"
        assert seen.style_sheets == 0, seen.path


@pytest.mark.parametrize("width", WIDTHS)
async def test_no_page_scrolls_sideways(walk: list[Seen], width: int) -> None:
    assert [seen.path for seen in walk if seen.scroll_widths[width] > width] == []


async def test_the_columns_of_the_overview_and_of_every_list_fit_into_1280_pixels(
    walk: list[Seen],
) -> None:
    pages = {seen.path: seen for seen in walk}
    for path in ["/", "/requests", "/jobs", "/dead-letters", "/sweeps"]:
        assert not any(pages[path].hidden), path


async def test_no_text_of_a_chart_is_cut_off(walk: list[Seen]) -> None:
    assert {seen.path: seen.cut_off for seen in walk if seen.cut_off} == {}


@pytest.mark.proves("console-pages")
async def test_every_page_works_without_javascript(browser: Browser, site: Site) -> None:
    async with visit(browser, site, java_script_enabled=False) as visited:
        page = visited.page
        for path in await tour(site):
            await visited.open(path)
            await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await visited.open("/jobs")
        await page.get_by_label("Service").fill("media")
        await page.get_by_label("Status").select_option("complete")
        await page.get_by_role("button", name="Show").click()
        await expect(page).to_have_url(
            f"{site.url}/jobs?service=media&bot=&status=complete&order=newest"
        )
        await page.get_by_role("link", name="Next page").click()
        await expect(page.get_by_role("link", name="First page")).to_be_visible()
        await page.get_by_role("button", name="Log out").click()
        await expect(page).to_have_url(f"{site.url}/login")
        await page.goto(f"{site.url}/jobs")
        await expect(page).to_have_url(f"{site.url}/login?next=/jobs")


@pytest.mark.proves("console-pages")
async def test_a_poll_shows_what_is_new_and_keeps_focus_and_open_details(
    browser: Browser, site: Site
) -> None:
    job = next(each for each in site.console.jobs.jobs.values() if each.bot_id == BOT)
    async with visit(browser, site) as visited:
        page = visited.page
        await visited.open(f"/jobs/{job.id}")
        await page.locator("#covers summary").click()
        link = page.locator("#covers a").first
        await link.focus()
        await expect(page.get_by_text("attempt 2 of 3")).to_be_visible()
        site.console.jobs.jobs[job.id] = replace(job, attempt=3)
        await expect(page.get_by_text("attempt 3 of 3")).to_be_visible(timeout=WITHIN)
        await expect(page.locator("#covers")).to_have_attribute("open", "")
        await expect(link).to_be_focused()


async def test_a_part_that_has_not_changed_is_not_sent_again(browser: Browser, site: Site) -> None:
    async with visit(browser, site) as visited:
        seen: list[tuple[int, int]] = []

        async def answered(response: Any) -> None:
            if "part=1" in response.url:
                sizes = await response.request.sizes()
                seen.append((response.status, sizes["responseBodySize"]))

        visited.page.on("response", answered)
        await visited.open("/dead-letters")
        async with asyncio.timeout(WITHIN / 1000):
            while [size for _, size in seen[-2:]] != [0, 0]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_session_that_ends_leads_a_polling_page_to_the_log_in(
    browser: Browser, site: Site
) -> None:
    async with visit(browser, site) as visited:
        await visited.open("/jobs")
        await visited.page.context.clear_cookies()
        await expect(visited.page).to_have_url(f"{site.url}/login?next=/jobs", timeout=WITHIN)
        visited.complaints.clear()  # the browser notes the 401 of the poll


async def test_seven_tabs_that_poll_hold_no_connection_and_leave_every_page_responsive(
    browser: Browser, site: Site
) -> None:
    """Each wait has its bound. How fast all of them are together depends on the machine."""
    async with visit(browser, site) as visited:
        context, under_way = visited.page.context, set[Any]()

        def ended(request: Any) -> None:
            under_way.discard(request)

        def begun(request: Any) -> None:
            under_way.add(request)

        context.on("request", begun)
        context.on("requestfinished", ended)
        context.on("requestfailed", ended)
        tabs = [await context.new_page() for _ in range(TABS)]
        for tab in tabs:
            await tab.goto(f"{site.url}/jobs")
        job = new_job(Status.FAILED, last_modified_at=site.console.clock.now())
        site.console.jobs.jobs[job.id] = job
        for tab in tabs:
            await tab.bring_to_front()
            await expect(tab.get_by_role("link", name=job.id)).to_be_visible(timeout=WITHIN)
        await visited.open("/dead-letters")
        now = frozenset(under_way)
        await eventually(lambda: now.isdisjoint(under_way), WITHIN / 1000)


async def test_a_wrong_token_is_said_to_be_wrong(browser: Browser, site: Site) -> None:
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{site.url}/")
        await page.get_by_label("Token").fill("not-a-token-of-anybody")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.get_by_role("alert")).to_contain_text("not valid")
    finally:
        await context.close()


WHY = "the billing API is back"


@dataclass(frozen=True)
class Way:
    """One action: the page and its button, and what is left to do there once it is done."""

    path: str
    button: str
    outcome: str


def actions_of(site: Site) -> list[Way]:
    """Each kind of action on records, on one of them and on many."""
    console = site.console
    job = next(each for each in console.jobs.jobs.values() if each.status is Status.EXHAUSTED)
    event = next(iter(console.requests.requests))
    broken, whole, discarded = console.letters.letters
    return [
        Way(f"/jobs/{job.id}", "Retry…", "retry: complete · 1 done"),
        Way("/jobs?status=failed", "Retry matching jobs…", "retry: complete · 1 done"),
        Way(f"/dead-letters/{whole}", "Replay…", "replay: complete · 1 done"),
        Way(f"/dead-letters/{discarded}", "Replay anyway…", "replay: complete · 1 done"),
        Way(f"/requests/{event}", "Waive media…", "waive: complete · 1 done"),
        Way(
            "/requests?service=media",
            "Waive media in matching requests…",
            "waive: complete · 1 done",
        ),
        Way(f"/dead-letters/{broken}", "Discard…", "discard: complete · 1 done"),
    ]


@pytest.mark.proves("console-actions")
@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
async def test_every_action_leads_from_its_page_to_its_outcome(
    browser: Browser, site: Site, script: bool
) -> None:
    async with visit(browser, site, java_script_enabled=script) as visited:
        page = visited.page
        ways = actions_of(site)
        for way in ways:
            await visited.open(way.path)
            await page.get_by_role("button", name=way.button, exact=True).click()
            await expect(page.get_by_text("eligible")).to_be_visible()
            await page.get_by_label("Why, for the record").fill(WHY)
            await page.locator("form.reason button").click()
            await expect(page).to_have_url(re.compile("/actions/[0-9a-f]{24}$"))
            if not script:
                await reloaded_until(page, way.outcome)
            await expect(page.get_by_text(way.outcome)).to_be_visible()
            await expect(page.get_by_text(WHY)).to_be_visible()
        await visited.open("/actions")
        await expect(page.locator("tbody tr")).to_have_count(len(ways))


@pytest.mark.proves("console-actions")
async def test_the_pages_of_actions_are_accessible(browser: Browser, site: Site) -> None:
    async with visit(browser, site) as visited:
        page = visited.page
        await visited.open("/jobs")
        await page.get_by_role("button", name="Retry matching jobs…").click()
        records = page.get_by_text("The records")
        await expect(records).to_be_visible()  # the next page has arrived
        await look_at(page)
        await records.click()
        await page.get_by_label("Why, for the record").fill(" ")
        visited.complaints.clear()
        await page.locator("form.reason button").click()
        await expect(page.get_by_role("alert")).to_contain_text("A reason is required")
        visited.complaints.clear()  # the browser notes the 422
        await look_at(page)
        await page.get_by_label("Why, for the record").fill(WHY)
        await page.locator("form.reason button").click()
        await expect(page.get_by_text("retry: complete")).to_be_visible()
        await look_at(page)
        for path in ("/actions", "/sweeps"):
            await visited.open(path)
            await look_at(page)


@pytest.mark.proves("console-actions")
async def test_a_viewer_is_offered_nothing(browser: Browser, site: Site) -> None:
    async with visit(browser, site, user=VIEWER) as visited:
        for path in await tour(site):
            await visited.open(path)
            assert await visited.page.locator("form[method=post]").count() == 1, "to log out"


async def reloaded_until(page: Page, text: str) -> None:
    """Load the page again until it shows `text`, as somebody without a script does."""
    async with asyncio.timeout(WITHIN / 1000):
        while not await page.get_by_text(text).is_visible():
            await asyncio.sleep(0.2)
            await page.reload()
