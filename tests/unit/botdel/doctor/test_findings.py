"""A look that fails, hangs or is cancelled is a finding, or ends tidily."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from google.api_core.exceptions import GoogleAPICallError
from pymongo.errors import InvalidURI, OperationFailure

from botdel.doctor.findings import could_not, failed, guarded, together
from botdel.doctor.report import line
from deletion.doctor import Finding, Verdict
from deletion.errors import (
    BusUnavailable,
    ConfigurationError,
    HttpUnavailable,
    StoreUnavailable,
    TopologyMissing,
)
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.virtual_time


def refusal() -> GoogleAPICallError:
    return GoogleAPICallError("Invalid name")  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "detail", "remedy"),
    [
        (
            TopologyMissing("topic t does not exist", "run `botdel topology apply`"),
            "topic t does not exist",
            "run `botdel topology apply`",
        ),
        (
            StoreUnavailable("MongoDB cannot be used now (AutoReconnect)"),
            "(AutoReconnect)",
            "BOTDEL_MONGODB_URI",
        ),
        (
            BusUnavailable("Pub/Sub does not answer for t (RetryError)"),
            "(RetryError)",
            "PUBSUB_EMULATOR_HOST",
        ),
        (refusal(), "Invalid name", "PUBSUB_EMULATOR_HOST"),
        (OperationFailure("not for you", 13, {"errmsg": "not for you"}), "not for you", "user"),
        (
            HttpUnavailable("GET x.example failed (ConnectError)"),
            "(ConnectError)",
            "that it answers",
        ),
        (ConfigurationError("no credentials:\n  of yours"), "no credentials: of yours", "correct"),
        (ConfigurationError("no credentials", "set them"), "no credentials", "set them"),
    ],
)
async def test_an_error_is_a_finding_with_its_remedy(
    error: Exception, detail: str, remedy: str
) -> None:
    async def looking() -> list[Finding]:
        raise error

    [found] = await guarded("a check", looking())
    assert (found.check, found.status) == ("a check", Verdict.FAILED)
    assert found.detail.endswith(detail)
    assert remedy in found.remedy


def test_a_uri_that_cannot_be_read_is_never_quoted() -> None:
    found = could_not("MongoDB", InvalidURI("no such port: 'hunter22@host'"))
    assert "hunter22" not in line(found)
    assert "not a MongoDB URI" in found.detail


@pytest.mark.proves("broken-step-hides-nothing")
@pytest.mark.parametrize("error", [RuntimeError("boom\n twice"), TimeoutError("boom\n twice")])
async def test_an_error_nobody_foresaw_is_a_finding_with_its_type_and_text(
    error: Exception,
) -> None:
    async def looking() -> list[Finding]:
        raise error

    [found] = await guarded("a check", looking())
    assert (found.check, found.status) == ("a check", Verdict.FAILED)
    assert found.detail == f"boom twice ({type(error).__name__})"
    assert "your own class" in found.remedy


@pytest.mark.proves("broken-step-hides-nothing")
async def test_a_look_that_does_not_end_is_given_up_and_found() -> None:
    async def looking() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    [found] = await guarded("a check", looking(), longest=60)
    assert found == failed("a check", "no answer within 60 s", found.remedy)
    assert VirtualClock().monotonic() == 60


async def test_a_look_that_is_cancelled_is_no_finding() -> None:
    looking = asyncio.create_task(asyncio.Event().wait())
    guard = asyncio.create_task(guarded("a check", cast("Any", looking)))
    await asyncio.sleep(0)
    guard.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guard


async def test_looks_that_are_cancelled_have_tidied_up_before_it_ends() -> None:
    """The canary's subscription is removed over a connection that is closed after that."""
    began, tidied = asyncio.Event(), list[str]()

    async def canary() -> Sequence[Finding]:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            tidied.append("canary")
        return []

    async def quick() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    looking = asyncio.create_task(together(quick(), canary()))
    await began.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert tidied == ["canary"]
