"""The limit on open files, which bounds the connections of a process."""

import resource
from typing import Final

import structlog

ENOUGH: Final = 65_536
"""More than any process uses; some systems refuse a limit that is much higher."""

log = structlog.get_logger(__name__)


def raise_limit() -> None:
    """Raise the soft limit on open files to the hard one, at most to `ENOUGH`.

    A container usually starts with a soft limit of 1,024, systemd's default. That is less than the
    gateway needs for its connections (`BOTDEL_GATEWAY_MAX_CONNECTIONS`).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError) as error:
        log.warning("limit on open files not raised", limit=soft, error=str(error))
