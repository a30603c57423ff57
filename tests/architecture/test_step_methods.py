"""The reference of what a step may have is held to the optional protocols of `deletion.plan`."""

import inspect
from typing import Protocol

import consumers
from deletion import plan
from tests.architecture.documents import table
from tests.support.paths import DOCS

REFERENCE = DOCS / "reference" / "step_methods.md"


def members(protocol: type) -> set[str]:
    """What a class has to have for it."""
    own = {**vars(protocol), **inspect.get_annotations(protocol)}
    return {name for name in own if not name.startswith("_")}


PROTOCOLS = [
    each for each in vars(plan).values() if inspect.isclass(each) and Protocol in each.__bases__
]


def test_the_table_is_that_of_the_optional_protocols() -> None:
    protocols = [each for each in PROTOCOLS if each is not plan.Step]
    optional = set().union(*map(members, protocols))
    assert {"bots", "count", "batch_size"} < optional
    rows = table(REFERENCE, "member", "form", "what it gives", "without it")
    assert {row["member"] for row in rows} == optional
    assert len(rows) == len(optional)


def test_what_is_called_async_is_a_coroutine() -> None:
    for row in table(REFERENCE, "member", "form", "what it gives", "without it"):
        [found] = {
            vars(each)[row["member"]] for each in PROTOCOLS if row["member"] in vars(each)
        } or {None}
        assert inspect.iscoroutinefunction(found) is row["form"].startswith("async"), row


def test_a_team_imports_all_of_it_from_one_place() -> None:
    named = {each.__name__ for each in PROTOCOLS} | {plan.Doubt.__name__, plan.Batch.__name__}
    assert named <= set(consumers.__all__)
