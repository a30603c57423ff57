"""Faults at the calls of a step's client, one at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Faults:
    """Makes one call of a client fail, the `at`th; none when `at` is 0.

    The call is not made, or, when its answer is lost, is made and fails nevertheless. `calls`
    says how many calls there were, and `raised` whether one failed.
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
