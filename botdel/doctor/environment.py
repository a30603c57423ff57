"""Checks whether each process would start with the settings that this command reads."""

from collections.abc import Mapping
from typing import Final

from botdel.doctor.findings import failed, ok, warning
from consumers.settings import ConsumerSettings
from deletion.doctor import Finding
from deletion.errors import SettingsError
from deletion.process.alert_settings import AlertSettings
from deletion.process.settings import Settings, load
from gateway.settings import GatewaySettings
from recovery.settings import RecoverySettings

PROCESSES: Final[Mapping[str, type[Settings]]] = {
    "gateway": GatewaySettings,
    "consumer": ConsumerSettings,
    "recovery": RecoverySettings,
}
SET_IT = "set it in the environment or in .env; `openssl rand -hex 32` makes a credential"
ALERTS = "alerts"


def environment_findings() -> list[Finding]:
    """Return findings about settings and credentials. They name variables, and show no value."""
    return [*(_settings(process, settings) for process, settings in PROCESSES.items()), _alerts()]


def _settings(process: str, settings: type[Settings]) -> Finding:
    check = f"settings of {process}"
    if wrong := _wrong(settings):
        return failed(check, wrong, SET_IT)
    required = [name for name, field in settings.model_fields.items() if field.is_required()]
    return ok(check, f"all {len(required)} required settings are set, and none is wrong")


def _wrong(settings: type[Settings]) -> str:
    """Return the variables that are missing or wrong, with what is wrong; "" if none is."""
    try:
        load(settings)
    except SettingsError as error:
        return "; ".join(error.problems)
    return ""


def _alerts() -> Finding:
    if wrong := _wrong(AlertSettings):
        return failed(ALERTS, wrong, SET_IT)
    if load(AlertSettings).alert_webhook_url is None:
        return warning(
            ALERTS,
            "nobody is alerted to a dead letter, an exhausted job or many stale ones",
            "set BOTDEL_ALERT_WEBHOOK_URL for consumers and recovery",
        )
    return ok(ALERTS, "BOTDEL_ALERT_WEBHOOK_URL is set; nothing was posted to it")
