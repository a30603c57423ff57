"""How a process divides its grace period: shares of the seconds between SIGTERM and its end."""

from typing import Final

RUNS: Final = 1 / 2
"""For a consumer to let its runs end between two batches, and to record the groups it has
pulled."""
HAND_OVER: Final = 1 / 4
"""For a consumer to cut its runs short after that, and to hand their jobs over."""

PAGE: Final = 1 / 4
"""For recovery to end the page of its sweep; cancelling the page may take as long again."""
REQUESTS: Final = 1 / 4
"""For recovery to answer the requests under way."""

ACTIONS: Final = 1 / 4
"""For the console to end each action after its group of records; cancelling them may take as long
again."""

ALERTS: Final = 1 / 8
"""For both to send the alerts that still wait, before they close their connections."""
TRACES: Final = 1 / 8
"""For every process to export the spans that still wait, at its very end."""
