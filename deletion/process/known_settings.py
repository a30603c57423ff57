"""The names of all settings. One that is misspelt would be ignored, and its default used instead.

The list stands here, and not beside the settings, because no process may load those of all others.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

import structlog
from pydantic_settings import DotEnvSettingsSource

from deletion.process.settings import Settings

PREFIX: Final = "BOTDEL_"
KNOWN: Final = frozenset(
    {
        "BOTDEL_ALERT_GROUP_SECONDS",
        "BOTDEL_ALERT_STALE_SHARE",
        "BOTDEL_ALERT_WAITING_SECONDS",
        "BOTDEL_ALERT_WEBHOOK_URL",
        "BOTDEL_BATCH_SECONDS",
        "BOTDEL_BREAKER_SECONDS",
        "BOTDEL_CALLBACK_SECRET",
        "BOTDEL_CALLBACK_URL",
        "BOTDEL_CONSOLE_HOST",
        "BOTDEL_CONSOLE_IAP_AUDIENCE",
        "BOTDEL_CONSOLE_PORT",
        "BOTDEL_CONSOLE_SECRET",
        "BOTDEL_CONSOLE_URL",
        "BOTDEL_CONSOLE_USERS",
        "BOTDEL_CONSUMER_HOST",
        "BOTDEL_CONSUMER_PORT",
        "BOTDEL_CONSUMER_SLOTS",
        "BOTDEL_DEADLINE_HOURS",
        "BOTDEL_GATEWAY_CONFIRM_SECONDS",
        "BOTDEL_GATEWAY_HOST",
        "BOTDEL_GATEWAY_KEEP_ALIVE_SECONDS",
        "BOTDEL_GATEWAY_MAX_CONNECTIONS",
        "BOTDEL_GATEWAY_MAX_PENDING",
        "BOTDEL_GATEWAY_PORT",
        "BOTDEL_GATEWAY_PUBLISH_REQUESTS",
        "BOTDEL_GATEWAY_TOKENS",
        "BOTDEL_KEEP_COMPLETE_DAYS",
        "BOTDEL_KEEP_SETTLED_DAYS",
        "BOTDEL_LOCAL_BROKER",
        "BOTDEL_LOCAL_SERVERS",
        "BOTDEL_LOG_FORMAT",
        "BOTDEL_MAX_ATTEMPTS",
        "BOTDEL_MISSING_AFTER_MINUTES",
        "BOTDEL_MONGODB_DATABASE",
        "BOTDEL_MONGODB_URI",
        "BOTDEL_OPERATOR",
        "BOTDEL_RECOVERY_HOST",
        "BOTDEL_RECOVERY_OIDC_AUDIENCE",
        "BOTDEL_RECOVERY_OIDC_EMAILS",
        "BOTDEL_RECOVERY_PORT",
        "BOTDEL_RECOVERY_TOKEN",
        "BOTDEL_RECOVERY_URL",
        "BOTDEL_REST_SECONDS",
        "BOTDEL_RETRY_SECONDS",
        "BOTDEL_SHUTDOWN_GRACE_SECONDS",
        "BOTDEL_STALE_AFTER_SECONDS",
        "BOTDEL_SWEEP_PAGE_SIZE",
        "BOTDEL_TOPIC",
        "BOTDEL_TRACES",
        "BOTDEL_VERSION",
    }
)
"""Of all processes and commands: they share an environment. compose.yaml reads `BOTDEL_VERSION`."""
UNKNOWN: Final = "unknown setting"

log = structlog.get_logger(__name__)


def settings_given() -> set[str]:
    """Return the names that are set to something, in the environment and in `.env`."""
    try:
        in_file = DotEnvSettingsSource(Settings, env_file=".env").env_vars
    except UnicodeDecodeError:  # `load` refuses such a file
        in_file = {}
    given = {name.upper() for name, value in {**in_file, **os.environ}.items() if value}
    return {name for name in given if name.startswith(PREFIX)}


def unknown_settings() -> Mapping[str, str]:
    """Return each unknown name in the environment and in `.env`, with the known name that is most
    like it, or "" if none is.
    """
    return {name: _closest(name) for name in sorted(settings_given() - KNOWN)}


def warn_of_unknown_settings() -> None:
    """Log each unknown name, without its value. It is no error: a later release may know it."""
    for name, closest in unknown_settings().items():
        log.warning(UNKNOWN, name=name, **({"closest": closest} if closest else {}))


def _closest(name: str) -> str:
    return next(iter(get_close_matches(name, KNOWN, n=1, cutoff=0.8)), "")
