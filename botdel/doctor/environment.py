"""Checks whether each process would start with the settings that this command reads."""

from collections.abc import Mapping
from typing import Final

from botdel.doctor.findings import failed, ok, warning
from console.settings import GUESSABLE, ConsoleSettings
from consumers.settings import ConsumerSettings
from deletion.doctor import Finding, Verdict
from deletion.errors import SettingsError
from deletion.process.alert_settings import AlertSettings
from deletion.process.known_settings import settings_given, unknown_settings
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
    found = [_settings(process, settings) for process, settings in PROCESSES.items()]
    return [*found, *_console(), *_unknown(), _alerts()]


def _settings(process: str, settings: type[Settings]) -> Finding:
    check = f"settings of {process}"
    if wrong := _wrong(settings):
        return failed(check, wrong, SET_IT)
    required = [name for name, field in settings.model_fields.items() if field.is_required()]
    return ok(check, f"all {len(required)} required settings are set, and none is wrong")


def _console() -> list[Finding]:
    """Return a finding about the console, unless it has no user: an installation may be without."""
    if "BOTDEL_CONSOLE_USERS" not in settings_given():
        return []
    found = _settings("console", ConsoleSettings)
    if found.status is Verdict.OK and load(ConsoleSettings).is_guessable:
        remedy = "set it; `openssl rand -hex 32` makes one"
        return [warning("settings of console", GUESSABLE, remedy)]
    return [found]


def _unknown() -> list[Finding]:
    """Return one warning of all names that no process reads."""
    if not (unknown := unknown_settings()):
        return []
    names = (f"{name} ({closest}?)" if closest else name for name, closest in unknown.items())
    remedy = "correct or remove them; docs/reference/configuration.md lists all settings"
    return [warning("unknown settings", f"ignored: {', '.join(names)}", remedy)]


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
