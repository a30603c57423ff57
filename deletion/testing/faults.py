"""Faults in the calls that a step's client makes, one at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Faults:
    """Makes one call of a client fail: number `at`, counted from 1; none when `at` is 0.

    With `answer_lost`, the call is made before it fails; otherwise it is not made. `calls` counts
    the calls, and `raised` says whether one has failed.
    """

    def __init__(
        self,
        at: int = 0,
        *,
        answer_lost: bool = False,
        error: Callable[[], Exception] = lambda: ConnectionError("injected by a test"),
    ) -> None:
        self.calls = 0
        self.raised = False
        self._at = at
        self._answer_lost = answer_lost
        self._error = error

    @contextmanager
    def call(self) -> Iterator[None]:
        """Put each call of the client, with its `await`, inside this block."""
        self.calls += 1
        fails = self.calls == self._at
        if fails and not self._answer_lost:
            self.raised = True
            raise self._error()
        yield
        if fails:
            self.raised = True
            raise self._error()
