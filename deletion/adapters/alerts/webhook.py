"""Alerts by webhook: grouped, logged and posted as JSON, without holding up the work."""

import asyncio
from collections.abc import Mapping
from typing import Final

import httpx
import structlog
from pydantic import SecretStr

from deletion.adapters.alerts.groups import AlertGroup, AlertGroups
from deletion.adapters.posting import json_bytes, post
from deletion.adapters.unproxied import unproxied
from deletion.alerts import Alert
from deletion.clock import Clock
from deletion.errors import BotDeletionError
from deletion.retry import Retry

log = structlog.get_logger(__name__)

TRIES: Final = 6
BASE_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 5.0
"""How long one try may take. All tries, with the waits between them, take about a minute at
most."""


class Webhook:
    """The address that alerts are posted to. The URL is a credential, so no error quotes it."""

    def __init__(
        self,
        url: SecretStr,
        retry: Retry,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._retry = retry
        self._answer_seconds = answer_seconds
        self._http = unproxied(transport=transport, timeout=answer_seconds)

    async def post(self, body: Mapping[str, object]) -> None:
        """Return once a try has succeeded; earlier ones may have arrived too.

        Raises `TransientError` when all tries have failed, and `BotDeletionError` at once for an
        answer that another try would not change. Redirects are not followed.
        """
        content, seconds = json_bytes(body), self._answer_seconds
        await self._retry.call(lambda: post(self._http, self._url, content, seconds=seconds))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class WebhookAlerts:
    """`deletion.alerts.Alerts` that groups alerts, and logs and posts each group.

    A group is sent once nothing was added to it for `group_seconds`, and at the latest ten times
    that after its first alert. Groups are sent one at a time, so that a slow webhook leads to
    larger groups, not to more requests. Without a webhook they are only logged. Use it on the
    event loop.
    """

    def __init__(self, webhook: Webhook | None, clock: Clock, *, group_seconds: float) -> None:
        self._webhook = webhook
        self._clock = clock
        self._groups = AlertGroups(clock, group_seconds)
        self._sender: asyncio.Task[None] | None = None
        self._quiet: asyncio.Task[None] | None = None
        self._closing = False

    def tell(self, alert: Alert) -> None:
        """See the port. Not to be called after `close`."""
        self._groups.add(alert)
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send())

    async def close(self, patience: float) -> None:
        """Send the waiting groups now, within `patience` seconds; log those that were not sent."""
        self._closing = True
        if self._quiet:
            self._quiet.cancel()
        if self._sender:
            over = asyncio.create_task(self._clock.sleep(patience))
            both = {over, self._sender}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        while self._groups:
            _not_delivered(self._groups.take(), "the process ended")
        if self._webhook:
            await self._webhook.close()

    async def _send(self) -> None:
        """Send groups until none waits. Further alerts can only postpone when the next is due."""
        while self._groups:
            wait = self._groups.due_in()
            if wait > 0 and not self._closing:
                self._quiet = asyncio.create_task(self._clock.sleep(wait))
                await asyncio.wait({self._quiet})
            else:
                await self._deliver(self._groups.take())

    async def _deliver(self, group: AlertGroup) -> None:
        log.warning("alert", text=group.text, **group.facts)
        if self._webhook is None:
            return
        try:
            await self._webhook.post(group.body)
        except asyncio.CancelledError:
            _not_delivered(group, "the process ended")
            raise
        except BotDeletionError as error:
            _not_delivered(group, str(error))
        except Exception as error:  # noqa: BLE001 - recorded, without a text that may quote the URL
            _not_delivered(group, type(error).__name__)


def webhook_alerts(url: SecretStr | None, clock: Clock, group_seconds: float) -> WebhookAlerts:
    """Alerts that are logged and, with a `url`, posted to it. Close them at the end."""
    webhook = Webhook(url, Retry(clock, TRIES, BASE_SECONDS)) if url else None
    return WebhookAlerts(webhook, clock, group_seconds=group_seconds)


def _not_delivered(group: AlertGroup, why: str) -> None:
    log.error("alert not delivered", why=why, text=group.text, **group.facts)
