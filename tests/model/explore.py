"""Visits every world within the bounds, breadth first: a counterexample is as short as can be."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from tests.model.canonical import Canonical, Key
from tests.model.invariants import Invariants
from tests.model.moves import Bounds, Move, Moves
from tests.model.world import Book, World


@dataclass(frozen=True, slots=True)
class Explored:
    """The number of worlds, and the trace to the first one that breaks an invariant."""

    states: int
    broken: str = ""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        steps = [f"{number:3}. {label}" for number, label in zip(count(1), self.trace)]
        return "\n".join([f"{self.states} states; {self.broken or 'all holds'}", *steps])


def explore(bounds: Bounds) -> Explored:
    """Visit every world that can be reached from an empty one, until an invariant is broken."""
    book = Book()
    moves, invariants, canonical = (
        Moves(bounds, book),
        Invariants(bounds.policy),
        Canonical(bounds.policy),
    )
    first = World()
    start = canonical.key(first)
    came: dict[Key, tuple[Key, str] | None] = {start: None}
    ahead = deque([(start, first)])
    while ahead:
        key, world = ahead.popleft()
        for move in moves.after(world):
            for line in invariants.broken(world, move):
                return Explored(len(came), line, (*_trace(came, key), move.label))
            after = canonical.key(move.world)
            if after not in came:
                came[after] = (key, move.label)
                ahead.append((after, move.world))
    return Explored(len(came))


def follow(bounds: Bounds, *labels: str) -> World:
    """The world at the end of a trace. Each step is named by the beginning of its label.

    Raises `AssertionError` for a step that cannot be made, or one that breaks an invariant.
    """
    book = Book()
    moves, invariants, world = Moves(bounds, book), Invariants(bounds.policy), World()
    for label in labels:
        move = _chosen(list(moves.after(world)), label)
        assert not list(invariants.broken(world, move)), label
        world = move.world
    return world


def _chosen(moves: list[Move], label: str) -> Move:
    fitting = [move for move in moves if move.label.startswith(label)]
    assert fitting, f"no {label!r} among {[move.label for move in moves]}"
    return fitting[0]


def _trace(came: dict[Key, tuple[Key, str] | None], key: Key) -> Iterator[str]:
    labels = []
    while step := came[key]:
        key, label = step
        labels.append(label)
    return reversed(labels)
