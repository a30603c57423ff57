"""The pictures of the README: `python -m tests.browser.screenshots` takes them anew."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

from playwright.async_api import Page, ViewportSize, async_playwright

from deletion.clock import SystemClock
from deletion.process.serving import serving
from tests.browser.conftest import INSTALL, NAMES
from tests.browser.stories import told
from tests.support.paths import DOCS
from tests.support.visiting import OPERATOR, Console

PICTURES: Final = DOCS / "pictures"
SIZE: Final = ViewportSize(width=1180, height=720)


async def take(folder: Path = PICTURES) -> None:
    """Write into `folder` one picture in light colours and one in dark ones."""
    console = Console(SystemClock())
    await told(console)
    job = next(iter(console.jobs.jobs))
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if not path:
        raise SystemExit(INSTALL)
    async with (
        serving(console.app(), "127.0.0.1", 0, name="console", grace=1) as url,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        light = await browser.new_page(viewport=SIZE, color_scheme="light")
        await _log_in(light, f"{url}/")
        await light.screenshot(path=folder / "overview.png", full_page=True)
        dark = await browser.new_page(viewport=SIZE, color_scheme="dark")
        await _log_in(dark, f"{url}/jobs/{job}")
        await dark.screenshot(path=folder / "job.png", full_page=True)
        await browser.close()


async def _log_in(page: Page, target: str) -> None:
    await page.goto(target)
    await page.get_by_label("Token").fill(OPERATOR.token.get_secret_value())
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(target)


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    asyncio.run(take())
