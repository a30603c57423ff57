"""Starting a sweep: recovery is asked for it, as the cron job asks."""

import asyncio
from http import HTTPStatus
from typing import Final

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from deletion.adapters.unproxied import unproxied
from deletion.errors import TransientError
from deletion.ids import OBJECT_ID_PATTERN
from deletion.operating.record import Outcome
from deletion.sweep import PATH

CALL_SECONDS: Final = 4.0


class _Started(BaseModel):
    sweep_id: str = Field(pattern=OBJECT_ID_PATTERN)


class Recovery:
    """Recovery at `url`, which accepts `token`."""

    def __init__(
        self, url: str, token: SecretStr, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._token = token
        self._transport = transport

    async def start_sweep(self) -> Outcome:
        """Start a sweep, or join the one that runs. Returns an outcome with its id.

        Raises `TransientError`, which never shows the token.
        """
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                unproxied(base_url=self._url, headers=headers, transport=self._transport) as http,
            ):
                answer = await http.post(PATH)
        except (httpx.RequestError, TimeoutError) as error:  # its text may quote what was sent
            what = f"recovery does not answer ({type(error).__name__})"
            raise TransientError(what, f"is it at {self._url}?") from None
        if answer.status_code != HTTPStatus.ACCEPTED:
            what = f"recovery did not start a sweep: it answered {answer.status_code}"
            raise TransientError(what, "see BOTDEL_RECOVERY_URL and BOTDEL_RECOVERY_TOKEN")
        try:
            return Outcome(_Started.model_validate_json(answer.content).sweep_id)
        except ValidationError:
            what = "recovery's answer names no sweep"
            raise TransientError(what, "see BOTDEL_RECOVERY_URL") from None
