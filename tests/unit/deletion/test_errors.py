"""What errors carry, and how they read."""

import pytest

from deletion.errors import ConfigurationError, PlanError, SettingsError, TransientError
from deletion.plan import check


def test_a_message_says_what_is_wrong_and_then_what_to_do() -> None:
    error = ConfigurationError("a file is missing", "create it")
    assert (error.what, error.remedy) == ("a file is missing", "create it")
    assert str(error) == "a file is missing; create it"
    assert str(ConfigurationError("a file is missing")) == "a file is missing"


def test_an_error_that_may_pass_has_a_remedy_beside_its_wait() -> None:
    error = TransientError("no answer", "look at the address", retry_after=3)
    assert (str(error), error.retry_after) == ("no answer; look at the address", 3)


def test_a_refused_plan_names_its_field() -> None:
    with pytest.raises(PlanError) as refused:
        check("analytics", [])
    assert (refused.value.field, refused.value.expected) == ("steps", "expected at least one")
    assert str(refused.value) == "steps: expected at least one"


def test_settings_that_are_wrong_have_a_line_each() -> None:
    assert str(SettingsError("A: missing", "B: too short")) == (
        "settings are missing or wrong: see docs/reference/configuration.md, or run "
        "`. .local/env` beside `make up`\n  A: missing\n  B: too short"
    )
