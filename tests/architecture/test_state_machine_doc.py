"""What is drawn of a job's states is what the code allows."""

import re

import pytest

from deletion.job import RULES, Rule, Status
from tests.architecture.documents import table
from tests.support.paths import DOCS

DOCUMENT = DOCS / "state_machine.md"


@pytest.mark.proves("transitions")
def test_the_table_of_transitions_is_that_of_the_rules() -> None:
    rows = table(DOCUMENT, "transition", "from", "to", "guard")
    documented = {
        row["transition"]: Rule(
            frozenset(Status(source) for source in row["from"].split(", ")),
            Status(row["to"]),
            tuple(row["guard"].split(", ")),
        )
        for row in rows
    }
    assert documented == RULES
    assert len(rows) == len(RULES)


def test_every_status_is_explained() -> None:
    assert [row["status"] for row in table(DOCUMENT, "status", "meaning")] == list(Status)


def test_every_arrow_that_is_drawn_is_a_transition_and_each_one_is_drawn() -> None:
    drawing = DOCUMENT.read_text(encoding="utf-8").partition("```mermaid")[2].partition("```")[0]
    drawn = {
        (source, target, label.split()[0])
        for source, target, labels in re.findall(r"(\w+) --> (\w+): (.+)", drawing)
        for label in labels.split(", ")
        if label.split()[0] in RULES
    }
    assert drawn == {
        (source.value, rule.target.value, name)
        for name, rule in RULES.items()
        for source in rule.sources
    }
