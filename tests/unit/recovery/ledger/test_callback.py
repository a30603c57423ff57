"""The callback is signed, bounded, and shows its credentials to nobody."""

import hashlib
import hmac
import json
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from deletion.errors import PermanentError, TransientError
from deletion.request import DeletionRequest, Waiver
from recovery.ledger.callback import ANSWER_SECONDS, SIGNATURE, Callback
from tests.support.clock import START, VirtualClock
from tests.support.factories import a_deletion_request

pytestmark = pytest.mark.virtual_time

URL = SecretStr("https://receiver.example/hook?key=not-to-be-shown")
SECRET = SecretStr("a-secret-for-tests-alone")


class Receiver(httpx.AsyncBaseTransport):
    """Answers with `status`, after `takes` seconds, and keeps the requests."""

    def __init__(self, status: int = 200, takes: float = 0) -> None:
        self.status, self.takes = status, takes
        self.requests: list[httpx.Request] = []
        self.clock = VirtualClock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        await self.clock.sleep(self.takes)
        return httpx.Response(self.status, headers={"Location": "https://elsewhere.invalid/"})


def a_settled_request() -> DeletionRequest:
    request = a_deletion_request("billing", "media")
    now = START + timedelta(minutes=5)
    waived = request.waived("media", Waiver("ann", "it was shut down"), now)
    return waived.completed("billing", "65f0a1b2c3d4e5f607180001", now)


def callback(receiver: Receiver) -> Callback:
    return Callback(URL, SECRET, receiver.clock, transport=receiver)


@pytest.mark.proves("called-back")
async def test_a_receiver_can_check_the_signature_over_time_and_body() -> None:
    receiver, request = Receiver(), a_settled_request()
    await callback(receiver).call(request)
    [sent] = receiver.requests
    time, _, mac = sent.headers[SIGNATURE].partition(",")
    assert time == f"t={int(START.timestamp())}"
    signed = time.removeprefix("t=").encode() + b"." + sent.content
    expected = hmac.new(b"a-secret-for-tests-alone", signed, hashlib.sha256).hexdigest()
    assert mac == f"v1={expected}"
    assert (sent.method, str(sent.url)) == ("POST", URL.get_secret_value())


async def test_the_body_says_what_each_service_did_and_who_was_waived() -> None:
    receiver, request = Receiver(), a_settled_request()
    await callback(receiver).call(request)
    assert json.loads(receiver.requests[0].content) == {
        "event_id": request.id,
        "bot_id": request.bot_id,
        "placed_at": "2025-03-30T01:59:59.250Z",
        "settled_at": "2025-03-30T02:04:59.250Z",
        "services": [
            {
                "service": "billing",
                "job_id": "65f0a1b2c3d4e5f607180001",
                "settled_at": "2025-03-30T02:04:59.250Z",
                "waiver": None,
            },
            {
                "service": "media",
                "job_id": None,
                "settled_at": "2025-03-30T02:04:59.250Z",
                "waiver": {"by": "ann", "reason": "it was shut down"},
            },
        ],
    }


@pytest.mark.parametrize("status", [302, 307, 400, 404, 408, 429, 500, 503])
async def test_any_answer_but_success_is_an_error_and_no_redirect_is_followed(
    status: int,
) -> None:
    receiver, may_pass = Receiver(status), status in {408, 429, 500, 503}
    kind = TransientError if may_pass else PermanentError
    with pytest.raises(kind, match=f"answered {status}") as caught:
        await callback(receiver).call(a_settled_request())
    assert len(receiver.requests) == 1
    assert "not-to-be-shown" not in str(caught.value)


@pytest.mark.proves("called-back")
async def test_a_receiver_that_hangs_is_given_up() -> None:
    receiver = Receiver(takes=3600)
    began = receiver.clock.monotonic()
    with pytest.raises(TransientError):
        await callback(receiver).call(a_settled_request())
    assert receiver.clock.monotonic() - began <= ANSWER_SECONDS
