"""The callback: one signed POST for each settled request."""

import hashlib
import hmac
from typing import Final

import httpx
from pydantic import SecretStr

from deletion.adapters.posting import json_bytes, post
from deletion.adapters.unproxied import unproxied
from deletion.clock import Clock, rfc3339
from deletion.request import DeletionRequest, Share

SIGNATURE: Final = "Botdel-Signature"
ANSWER_SECONDS: Final = 10.0
"""How long one call may take: far less than a claim holds."""


class Callback:
    """The receiver of the callback. Its URL and the secret are credentials: no error quotes them.

    Proxies of the environment are not used, and redirects are not followed.
    """

    def __init__(
        self,
        url: SecretStr,
        secret: SecretStr,
        clock: Clock,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._secret = secret.get_secret_value().encode()
        self._clock = clock
        self._answer_seconds = answer_seconds
        self._http = unproxied(transport=transport, timeout=answer_seconds)

    async def call(self, request: DeletionRequest) -> None:
        """Post the request, which is settled. Returns once the receiver has confirmed with 2xx.

        Raises `TransientError` or `PermanentError` if not; the request may have arrived anyway.
        """
        content = json_bytes(body_of(request))
        headers = {SIGNATURE: self._signature(content)}
        await post(self._http, self._url, content, seconds=self._answer_seconds, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def _signature(self, content: bytes) -> str:
        """`t=SECONDS,v1=HEX`: the HMAC-SHA256 of time and body, so that a receiver can refuse what
        was recorded and sent again.
        """
        seconds = int(self._clock.now().timestamp())
        signed = hmac.new(self._secret, f"{seconds}.".encode() + content, hashlib.sha256)
        return f"t={seconds},v1={signed.hexdigest()}"


def body_of(request: DeletionRequest) -> dict[str, object]:
    """What is posted about a settled request."""
    return {
        "event_id": request.id,
        "bot_id": request.bot_id,
        "placed_at": rfc3339(request.placed_at),
        "settled_at": request.settled_at and rfc3339(request.settled_at),
        "services": [_service(share) for share in request.shares],
    }


def _service(share: Share) -> dict[str, object]:
    """One service of the body: `job_id` is null if its share is waived, otherwise `waiver` is."""
    return {
        "service": share.service,
        "job_id": share.job_id,
        "settled_at": share.settled_at and rfc3339(share.settled_at),
        "waiver": share.waiver and share.waiver.as_dict(),
    }
