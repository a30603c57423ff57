"""A consumer's start: what is missing is logged, and keeps nobody from working."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from consumers.main import _report_missing
from deletion.errors import HttpUnavailable, PermanentError
from deletion.plan import Batch, Plan
from tests.support.factories import SERVICE


class Provided:
    """A step that needs something, and cannot say whether it is there."""

    def __init__(self, name: str, error: BaseException) -> None:
        self.name = name
        self.error = error

    async def delete(self, bot_id: str, cursor: str | None) -> AsyncGenerator[Batch, None]:
        raise NotImplementedError
        yield

    async def is_empty(self, bot_id: str) -> bool:
        raise NotImplementedError

    async def missing(self) -> str | None:
        raise self.error

    async def provide(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    "error",
    [
        HttpUnavailable("away"),
        PermanentError("not permitted"),
        KeyError("index"),
    ],
)
async def test_a_step_that_cannot_say_what_it_lacks_does_not_end_the_consumer(
    error: Exception,
) -> None:
    steps = (Provided("first", error), Provided("second", error))
    with capture_logs() as logs:
        await _report_missing(Plan(SERVICE, steps), 10)
    assert [line["step"] for line in logs] == ["first", "second"]
    assert {line["missing"] for line in logs} == {
        f"could not be checked: {error} ({type(error).__name__})"
    }


async def test_a_step_that_cancels_itself_does_not_end_the_consumer_without_a_word() -> None:
    steps = (Provided("first", asyncio.CancelledError()), Provided("second", KeyError("index")))
    with capture_logs() as logs:
        await _report_missing(Plan(SERVICE, steps), 10)
    assert [line["missing"] for line in logs] == [
        "could not be checked: the step cancelled itself",
        "could not be checked: 'index' (KeyError)",
    ]


class Hanging(Provided):
    """A step whose service accepts the question and never answers."""

    def __init__(self, name: str) -> None:
        super().__init__(name, PermanentError("asked for nothing"))

    async def missing(self) -> str | None:
        await asyncio.Event().wait()
        return None


class Stubborn(Hanging):
    """A step that tries again whatever happens."""

    async def missing(self) -> str | None:
        with suppress(asyncio.CancelledError):
            await super().missing()
        return await super().missing()


@pytest.mark.virtual_time
@pytest.mark.parametrize("kind", [Hanging, Stubborn])
async def test_a_step_that_never_says_what_it_lacks_does_not_keep_the_consumer_from_starting(
    kind: type[Hanging],
) -> None:
    with capture_logs() as logs:
        await _report_missing(Plan(SERVICE, (kind("first"), kind("second"))), 10)
    assert [line["step"] for line in logs] == ["first", "second"]
    assert {line["missing"] for line in logs} == {"could not be checked: no answer within 10 s"}
    assert asyncio.get_running_loop().time() == 10
