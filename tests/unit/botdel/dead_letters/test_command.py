"""`botdel dead-letters`: what its options choose, and how it reads."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from botdel.dead_letters import command
from botdel.dead_letters.command import chosen, filtered
from botdel.summary import Wording, carry_out
from deletion.dead_letter import DeadLetterStatus, Reason
from deletion.errors import ConfigurationError
from deletion.operating.acting import Tally, Unknown
from deletion.operating.dead_letters import Choice
from tests.support.factories import a_letter
from tests.support.hostile import HOSTILE, SHOWN, harmless
from tests.support.memory_stores import MemoryDeadLetterStore

NEW = DeadLetterStatus.NEW
NO_ID = "0" * 24


def test_filters_choose_new_letters_alone() -> None:
    assert chosen([], "analytics", "invalid", 7, everything=False) == Choice(
        service="analytics", reason=Reason.INVALID, status=NEW, limit=7
    )
    assert chosen([], None, None, None, everything=True) == Choice(status=NEW)


async def test_ids_are_normalised_and_taken_once() -> None:
    letter_id = "65f0a1b2c3d4e5f607182930"
    choice = chosen([letter_id, letter_id.upper()], None, None, None, everything=False)
    assert choice == Choice(ids=[letter_id] * 2)
    assert [page async for page in choice.pages(MemoryDeadLetterStore())] == [[Unknown(letter_id)]]


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: chosen([], None, None, None, everything=False),
        lambda: chosen([], None, None, 5, everything=False),
        lambda: chosen([NO_ID], "analytics", None, None, everything=False),
        lambda: chosen([NO_ID], None, "invalid", None, everything=False),
        lambda: chosen([NO_ID], None, None, 5, everything=False),
        lambda: chosen([NO_ID], None, None, None, everything=True),
        lambda: chosen(["no id"], None, None, None, everything=False),
        lambda: chosen([], None, "none", None, everything=False),
        lambda: filtered(None, "none", None, 5),
        lambda: filtered(None, None, "none", 5),
    ],
)
def test_a_choice_that_is_not_clear_is_refused(misuse: Callable[[], Choice]) -> None:
    with pytest.raises(ConfigurationError, match=r"expected|--limit works with"):
        misuse()


async def test_why_a_letter_is_refused_does_not_act_on_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def act(tally: Tally, _: Callable[[], None]) -> None:
        tally.refused[NO_ID] = f"why {HOSTILE}"

    code = await carry_out(act, Wording("replayed"), dry_run=False, as_json=False)
    said = capsys.readouterr().out
    assert code == 1
    assert f"{NO_ID} is refused: why {SHOWN}\n0 replayed, 1 refused\n" in said
    assert harmless(said)


async def test_a_script_cannot_take_a_dry_run_for_what_was_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def act(tally: Tally, _: Callable[[], None]) -> None:
        tally.done.append(NO_ID)

    said = []
    for dry_run in (True, False):
        assert await carry_out(act, Wording("replayed"), dry_run=dry_run, as_json=True) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said == [
        {"replayed": [], "to_be_replayed": [NO_ID], "refused": {}, "dry_run": True},
        {"replayed": [NO_ID], "refused": {}, "dry_run": False},
    ]


async def test_a_list_that_is_cut_off_says_so_beside_its_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MemoryDeadLetterStore()

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[MemoryDeadLetterStore]:
        yield store

    monkeypatch.setattr(command, "opened", opened)
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    await store.record([a_letter(id=store.new_id()) for _ in range(3)])
    for as_json in (True, False):
        await command.show_list(Choice(), 2, as_json=as_json)
        assert "more than these 2: raise --limit" in capsys.readouterr().err
        await command.show_list(Choice(), 3, as_json=as_json)
        assert capsys.readouterr().err == ""
    await command.show_list(Choice(), 2, as_json=True)
    assert len(json.loads(capsys.readouterr().out)) == 2
