"""Alerts of a process, sent as its settings say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deletion.adapters.alerts.webhook import webhook_alerts
from deletion.alerts import Alerts
from deletion.clock import Clock
from deletion.process.alert_settings import AlertSettings
from deletion.process.grace import ALERTS


@asynccontextmanager
async def alerting(settings: AlertSettings, clock: Clock, grace: float) -> AsyncIterator[Alerts]:
    """Those that still wait at the end of the block are sent, in a share of `grace` seconds."""
    alerts = webhook_alerts(settings.alert_webhook_url, clock, settings.alert_group_seconds)
    try:
        yield alerts
    finally:
        await alerts.close(grace * ALERTS)
