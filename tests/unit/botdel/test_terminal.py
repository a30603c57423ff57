"""Text of others is shown on a terminal as it is: it is no markup, and controls nothing."""

from io import StringIO

import pytest
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from botdel.terminal import Bars, Terminal, console, printable, waiting
from deletion.process.run import escaped
from tests.support.hostile import harmless

MARKUP = "[/v1/files] [bold]b[/bold] [link=http://x]l[/link] :bomb: [red]"
CONTROLS = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\rd\u202ee\ud800"
SHOWN = r"a\x1b[2J\x1b]0;title\x07b\x9b31mc\rd\u202ee\ud800"


def on_a_terminal(*shown: RenderableType) -> str:
    out = StringIO()
    terminal = Terminal(file=out, width=200)
    terminal.print(*shown)
    return out.getvalue()


def a_table(text: RenderableType) -> Table:
    table = Table("fixed", title=text if isinstance(text, str) else None)
    table.add_column(text)
    table.add_row(text, "end")
    return table


@pytest.mark.parametrize("shape", [lambda text: text, a_table, Group, printable, Text])
def test_no_text_is_read_as_markup_or_emoji(shape: type[Text]) -> None:
    assert MARKUP in on_a_terminal(shape(MARKUP))


@pytest.mark.parametrize("shape", [lambda text: text, a_table, Group, printable])
def test_control_characters_are_shown_escaped(shape: type[Text]) -> None:
    shown = on_a_terminal(shape(CONTROLS))
    assert SHOWN in shown
    assert harmless(shown)


def test_of_a_styled_text_control_characters_are_left_out() -> None:
    shown = on_a_terminal(Text(CONTROLS, "red"), a_table(Text(CONTROLS)))
    assert "a[2J]0;titleb31mcde" in shown
    assert harmless(shown)


def test_a_table_is_laid_out_by_what_is_shown() -> None:
    lines = on_a_terminal(a_table(CONTROLS)).splitlines()[2:]
    assert len({len(line) for line in lines}) == 1


def test_a_title_of_a_rule_is_no_markup() -> None:
    out = StringIO()
    Terminal(file=out, width=200).rule(MARKUP)
    assert MARKUP in out.getvalue()


def test_markup_that_is_asked_for_is_not_read_either() -> None:
    out = StringIO()
    Terminal(file=out, width=200).print(MARKUP, markup=True, emoji=True)
    assert MARKUP in out.getvalue()


def test_what_styles_ask_for_still_reaches_a_terminal() -> None:
    out = StringIO()
    terminal = Terminal(file=out, width=80, force_terminal=True)
    terminal.print(Text("red", "red"))
    assert out.getvalue() == "\x1b[31mred\x1b[0m\n"


def test_lines_and_tabs_of_a_string_stay() -> None:
    assert on_a_terminal("one\n\ttwo") == "one\n        two\n"


def test_a_field_stays_on_its_line() -> None:
    assert on_a_terminal(printable("one\njob 2 complete")) == "one\\njob 2 complete\n"
    assert escaped("one\n\x1btwo", keep="\n") == "one\n\\x1btwo"


def test_bars_take_descriptions_as_they_are() -> None:
    out = StringIO()
    with Bars(Terminal(file=out, width=200, force_terminal=True), MARKUP) as progress:
        progress.add_task(f"{MARKUP} 1 \x1b[2J", total=1)
        progress.console.print(MARKUP)
    shown = out.getvalue()
    assert shown.count(MARKUP) >= 3
    assert "1 [2J" in shown
    assert "\x1b[2J" not in shown


def test_what_is_waited_for_is_no_markup() -> None:
    out = StringIO()
    with waiting(MARKUP, Terminal(file=out, width=200, force_terminal=True)) as say:
        say(f"then {MARKUP} \x1b[2J")
    assert MARKUP in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()


def test_nothing_is_said_to_what_is_no_terminal() -> None:
    out = StringIO()
    with waiting("looking", Terminal(file=out)) as say:
        say("still")
    assert out.getvalue() == ""


def test_output_that_is_no_terminal_is_wide(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("x" * 150)
    assert capsys.readouterr().out == "x" * 150 + "\n"
