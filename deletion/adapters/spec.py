"""What the kinds of step in a plan file have in common: how they are read, and built."""

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
class Outside:
    """What steps reach the outside through. Each of their calls ends within `call_seconds`.

    `own_database` is the pipeline's, whose records no plan deletes.
    """

    connect: Connect
    call_seconds: float = CALL_SECONDS
    own_database: str = ""
    http: Http = field(default_factory=alone)


class Strict(BaseModel):
    """Fields as written: none that is unknown, and no value of another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class OfOneKind(Strict):
    """The keys of `KINDS`, of which exactly one is given."""

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
    """What a step of one kind deletes, as the plan file says; nothing is connected yet."""

    def build(self, name: str, outside: Outside) -> Step:
        """The step. Raises `PlanError` for what only `outside` shows to be wrong."""


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is a loopback address of this machine: to others
    nothing secret is sent over plain HTTP.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
