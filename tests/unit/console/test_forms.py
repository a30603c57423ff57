"""Forms of clients that do not behave."""

from http import HTTPStatus

import pytest
from fastapi import Request
from starlette.types import Message

from console.forms import FORM_TYPE, read_form
from deletion.process.problems import Problem


async def test_a_client_that_goes_away_is_no_unexpected_error() -> None:
    """Anybody may go away in the middle of the log-in: an error would fill the log with traces."""
    messages: list[Message] = [
        {"type": "http.request", "body": b"token=a", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    headers = [(b"content-type", FORM_TYPE.encode())]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    with pytest.raises(Problem) as raised:
        await read_form(request)
    assert raised.value.status is HTTPStatus.BAD_REQUEST
