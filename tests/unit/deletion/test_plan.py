"""A plan with names that do not fit cannot be constructed."""

from typing import Any

import pytest

from deletion.errors import PlanError
from deletion.plan import Batch, Plan, Provisioned, check
from tests.support.clock import VirtualClock
from tests.support.scripted_step import ScriptedStep


def step(name: str) -> ScriptedStep:
    return ScriptedStep(name, {}, VirtualClock())


def test_a_plan_keeps_its_steps_in_order() -> None:
    steps = (step("b"), step("a"), step("c"))
    assert Plan("conversations", steps).steps == steps


@pytest.mark.parametrize(
    ("deleted", "cursor", "field"), [(1, 17, "cursor"), (1.0, "17", "deleted"), (1, b"", "cursor")]
)
def test_a_batch_that_no_checkpoint_can_keep_is_refused(
    deleted: Any, cursor: Any, field: str
) -> None:
    """Its job could not be read back, by a run, a sweep or an operator."""
    with pytest.raises(TypeError, match=f"^{field}: expected"):
        Batch(deleted, cursor)


def test_a_plan_needs_a_step() -> None:
    with pytest.raises(PlanError, match=r"^steps: expected at least one$"):
        Plan("conversations", ())


def test_steps_need_names_of_their_own_because_checkpoints_are_kept_under_them() -> None:
    with pytest.raises(PlanError, match=r"^steps: .*'messages' more than once$"):
        Plan("conversations", (step("messages"), step("files"), step("messages")))


@pytest.mark.parametrize(
    "service",
    ["", "ab", "Conversations", "1abc", "a_b_c", "abc ", "abc\n", "a" * 64, "ledger"],
)
def test_a_service_needs_a_name_that_fits_a_subscription_and_is_not_reserved(service: str) -> None:
    with pytest.raises(PlanError, match=r"^service: expected"):
        check(service, ["messages"])


@pytest.mark.parametrize("service", ["abc", "a" * 63, "a-1", "dead-letters"])
def test_any_other_name_will_do(service: str) -> None:
    check(service, ["messages"])


def test_a_step_without_needs_is_not_asked_for_them() -> None:
    assert not isinstance(step("messages"), Provisioned)
