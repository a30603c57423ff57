"""The page with what `botdel doctor` found last."""

from datetime import timedelta

import pytest

from console.pages.words import SHOWN_AS
from deletion.doctor import MAX_FINDINGS, Examination, Finding, Verdict
from deletion.ports import Unreadable
from tests.support.clock import START
from tests.support.visiting import Console
from tests.unit.console.paged import Page

pytestmark = pytest.mark.virtual_time
HOSTILE = "</td><script>alert(1)</script>\"'&{{7*7}}\x1b[2J"
SHOWN = "</td><script>alert(1)</script>\"'&{{7*7}}\\x1b[2J"


async def page_of(console: Console) -> Page:
    async with console.visited() as visited:
        answer = await visited.get("/doctor")
        assert answer.status_code == 200, answer.text
        return Page(answer.text)


async def test_before_the_first_run_it_says_what_to_run() -> None:
    assert (await page_of(Console())).says("No result is recorded: run botdel doctor .")


async def test_each_finding_is_shown_with_its_remedy_and_when_and_where_it_was_found() -> None:
    console = Console()
    findings = (
        Finding("breakers", Verdict.OK, "no breaker is open"),
        Finding("bots of step a/b", Verdict.SKIPPED, "one plan alone"),
        Finding("alerts", Verdict.WARNING, "nobody is alerted", "set it"),
        Finding("canary", Verdict.FAILED, "was not recorded", "start recovery"),
    )
    at = START - timedelta(hours=3)
    await console.examinations.keep(Examination(at, "host-1", findings))
    page = await page_of(console)
    assert page.says("Ran 3 h ago, at 2025-03-29 22:59:59 , on host-1:")
    assert page.says("1 failed, 1 warning, 1 skipped, 1 ok.")
    assert page.says("canary failed was not recorded start recovery")
    assert page.says("breakers ok no breaker is open")
    assert not page.says("more findings")


async def test_what_it_found_is_only_text() -> None:
    console = Console()
    finding = Finding(HOSTILE, Verdict.FAILED, HOSTILE, HOSTILE)
    await console.examinations.keep(Examination(START, HOSTILE, (finding,)))
    page = await page_of(console)
    assert page.words.count(SHOWN) == 4
    assert page.tags.count("script") == 1


async def test_it_says_how_much_was_left_out() -> None:
    console = Console()
    findings = [Finding("a", Verdict.OK, "")] * (MAX_FINDINGS + 2)
    await console.examinations.keep(Examination.of(findings, START, "host-1"))
    assert (await page_of(console)).says("2 more findings are not recorded")


async def test_a_result_that_cannot_be_read_is_named() -> None:
    console = Console()
    console.examinations.examination = Unreadable("last", f"at: {HOSTILE}")
    page = await page_of(console)
    assert page.says(f"The last result cannot be read: at: {SHOWN}. Run botdel doctor again.")


@pytest.mark.parametrize("verdict", Verdict, ids=str)
def test_every_verdict_has_an_icon_and_a_word(verdict: Verdict) -> None:
    assert SHOWN_AS[f"found_{verdict}"].word == verdict
