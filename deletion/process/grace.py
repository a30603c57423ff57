"""How a process divides its grace period: shares of the seconds between SIGTERM and its end."""

from typing import Final

RUNS: Final = 1 / 2
"""A consumer lets its runs end between two batches, and records the groups it has pulled."""
HAND_OVER: Final = 1 / 4
"""Then it cuts its runs short, and hands their jobs over."""

PAGE: Final = 1 / 4
"""Recovery ends the page of its sweep; the page's cancellation may take as long again."""
REQUESTS: Final = 1 / 4
"""Recovery answers the requests under way."""

ALERTS: Final = 1 / 8
"""Both send the alerts that still wait, before they close their connections."""
