"""One walk through all pages, which notes what a person would see of each."""

from dataclasses import dataclass
from typing import Final, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from tests.browser.conftest import Site
from tests.browser.visits import Visit, tour

Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
WIDTHS: Final = (800, 1280)
HEIGHT: Final = 900
HIDDEN: Final = """
() => [...document.querySelectorAll(".scroll")].map(each => each.scrollWidth - each.clientWidth)
"""
CUT_OFF: Final = """
() => [...document.querySelectorAll("svg.chart")].flatMap(chart => {
    const seen = chart.getBoundingClientRect();
    return [...chart.querySelectorAll("text")].filter(text => {
        const box = text.getBoundingClientRect();
        return box.left < seen.left - 1 || box.right > seen.right + 1
            || box.top < seen.top - 1 || box.bottom > seen.bottom + 1;
    }).map(text => text.textContent);
})
"""


@dataclass(frozen=True)
class Seen:
    """A page as it was shown, at the widest width unless another is named."""

    path: str
    violations: list[str]
    """Of the policy, by what was loaded."""
    style_sheets: int
    """Added by a script."""
    barriers: dict[Scheme, str]
    """What axe reports of each colour scheme; empty when it finds nothing."""
    scroll_widths: dict[int, int]
    """How wide the page is, for each width of the window."""
    hidden: list[int]
    """Pixels that do not fit, of each region that may scroll."""
    cut_off: list[str]
    """Texts of charts that reach beyond their chart."""


async def walked(visit: Visit, site: Site) -> list[Seen]:
    """Open each page, and look at it in each width and colour scheme."""
    return [await _seen(visit, path) for path in ["/login", *await tour(site)]]


async def _seen(visit: Visit, path: str) -> Seen:
    page = visit.page
    await visit.open(path)
    scroll_widths: dict[int, int] = {}
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": HEIGHT})
        scroll_widths[width] = await page.evaluate("document.documentElement.scrollWidth")
    return Seen(
        path,
        scroll_widths=scroll_widths,
        hidden=await page.evaluate(HIDDEN),
        cut_off=await page.evaluate(CUT_OFF),
        barriers=await barriers(page),
        style_sheets=await page.evaluate("document.adoptedStyleSheets.length"),
        violations=await page.evaluate("window.violations"),
    )


async def barriers(page: Page) -> dict[Scheme, str]:
    """What axe reports of the page in each colour scheme."""
    reports: dict[Scheme, str] = {}
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        found = await (Axe("") if reports else Axe()).run(page)  # it is loaded into a page once
        reports[scheme] = found.generate_report() if found.violations_count else ""
    return reports


async def look_at(page: Page) -> None:
    """Check a page for barriers and for what its policy forbids."""
    assert await page.evaluate("window.violations") == []
    assert await barriers(page) == dict.fromkeys(SCHEMES, ""), page.url
