"""What all kinds of step in a plan file share: how they are read, and what they are built with."""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

from deletion.adapters.http_api.shared import Http, alone
from deletion.adapters.mongo.connection import CALL_SECONDS, Client
from deletion.plan import Step

Connect = Callable[[str | None], Client]
"""Returns the client of a URI; None means the default URI."""


@dataclass(frozen=True, slots=True)
class StepConnections:
    """What steps connect with. Each of their calls ends within `call_seconds`.

    `own_database` is the pipeline's own database, whose records no plan may delete.
    """

    connect: Connect
    call_seconds: float = CALL_SECONDS
    own_database: str = ""
    http: Http = field(default_factory=alone)


class Strict(BaseModel):
    """A model that refuses unknown fields and values of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OfOneKind(Strict):
    """A model with exactly one of the keys in `KINDS`."""

    KINDS: ClassVar[Sequence[str]]

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> Self:
        if len(self._given) != 1:
            found = " and ".join(self._given) or "none"
            raise ValueError(f"expected one of {', '.join(self.KINDS)}; found {found}")
        return self

    @property
    def kind_name(self) -> str:
        """The key that is given."""
        return self._given[0]

    @property
    def _given(self) -> Sequence[str]:
        return [kind for kind in self.KINDS if getattr(self, kind) is not None]


class Kind(Protocol):
    """One kind of step as the plan file describes it; nothing is connected yet."""

    def build(self, name: str, connections: StepConnections) -> Step:
        """Build the step. Raises `PlanError` for faults that only `connections` can show."""


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is a loopback address.

    Secrets are sent over plain HTTP to loopback addresses only.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
