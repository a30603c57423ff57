"""`botdel jobs retry`: which jobs its options choose."""

import pytest

from botdel.jobs_retry import chosen
from deletion.errors import ConfigurationError
from deletion.job import Status
from deletion.operating.jobs import RETRYABLE, Choice
from tests.support.factories import BOT, SERVICE


def test_the_options_choose_ids_or_filters_or_everything_and_never_two_of_them() -> None:
    job = "A" * 24
    assert chosen([job], None, None, None, None, everything=False) == Choice(["a" * 24])
    everything = chosen([], None, None, None, 5, everything=True)
    assert everything == Choice([], limit=5)
    filtered = chosen([], SERVICE, BOT.upper(), "failed", None, everything=False)
    assert filtered == Choice([], SERVICE, BOT, Status.FAILED)
    assert set(RETRYABLE) == {Status.EXHAUSTED, Status.FAILED, Status.IN_PROGRESS}


@pytest.mark.parametrize(
    ("ids", "service", "bot", "status", "everything"),
    [
        ([], None, None, None, False),
        (["a" * 24], SERVICE, None, None, False),
        (["a" * 24], None, None, None, True),
        (["no id"], None, None, None, False),
        ([], None, None, "complete", False),
        ([], None, None, "broken", False),
        ([], None, "no id", None, False),
    ],
)
def test_options_that_choose_nothing_or_twice_are_refused(
    ids: list[str], service: str | None, bot: str | None, status: str | None, everything: bool
) -> None:
    with pytest.raises(ConfigurationError):
        chosen(ids, service, bot, status, None, everything=everything)


@pytest.mark.parametrize("status", ["complete", "parked", ""])
def test_a_status_that_cannot_be_retried_is_quoted_with_those_that_can(status: str) -> None:
    retryable = "pending, in_progress, failed, compensated, exhausted"
    expected = f"--status: expected one of {retryable}, found '{status}'"
    with pytest.raises(ConfigurationError, match=expected):
        chosen([], SERVICE, None, status, None, everything=False)


def test_a_limit_beside_ids_is_refused_and_not_ignored() -> None:
    with pytest.raises(ConfigurationError, match="--limit"):
        chosen(["a" * 24], None, None, None, 1, everything=False)
