"""What operators act through: one for a process, composed of its stores."""

from dataclasses import dataclass

from console.recovery import Recovery
from deletion.operating.actions import Actions
from deletion.operating.kinds import Kinds


@dataclass(frozen=True, slots=True)
class Operating:
    """The actions, the kinds of them, and recovery, if its address and token are known."""

    actions: Actions
    kinds: Kinds
    recovery: Recovery | None = None
