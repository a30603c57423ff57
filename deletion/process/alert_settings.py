"""Settings of the processes that alert."""

from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr

from deletion.process.settings import PORTS, Settings


def _web_address(url: SecretStr) -> SecretStr:
    """Refuse a URL that cannot be requested: the error of such a request could quote it."""
    try:
        asked = httpx.URL(url.get_secret_value())
    except httpx.InvalidURL:
        asked = httpx.URL()
    if asked.scheme not in {"http", "https"} or not asked.host or (asked.port or 80) not in PORTS:
        raise ValueError("expected a URL that begins with http:// or https:// and names a host")
    return url


WebAddress = Annotated[SecretStr, AfterValidator(_web_address)]
"""A URL that is posted to. A credential."""


class AlertSettings(Settings):
    """Where alerts are sent, and how long they are grouped. The URL is a credential."""

    alert_webhook_url: WebAddress | None = None
    """Where alerts are posted as JSON (`text`, as Slack wants it, and fields); `http://` or
    `https://`. A credential: it is never printed. Without it alerts are in the log only.
    """
    alert_group_seconds: float = Field(5.0, gt=0, le=600)
    """Alerts of one kind, service and reason are sent as one, with a count, once no further one has
    come for this many seconds, and after ten times that at the latest; at most 600.
    """
