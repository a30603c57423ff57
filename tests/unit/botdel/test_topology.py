"""`botdel topology apply` says what is in place and what differs."""

from collections import defaultdict
from collections.abc import Sequence

import pytest

from botdel import topology
from deletion.adapters.pubsub.topology import Applied
from deletion.adapters.pubsub.wanted import Difference
from deletion.process.settings import load
from deletion.process.store_settings import TopologySettings
from tests.support.hostile import HOSTILE, SHOWN, harmless


class Part:
    """Stands for each outside part: whatever it is asked for is there."""

    emulated = is_emulated = True

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def get(self) -> None:
        pass

    publisher = subscriber = get

    async def apply(self, services: Sequence[str]) -> Applied:
        different = Difference(f"of {HOSTILE}", "filter", HOSTILE, "NOT attributes")
        return Applied([different], [f"new {HOSTILE}"])


class Bus(Part):
    async def close(self) -> None:
        pass


class Database(Part):
    name = "jobs"

    def get(self) -> "dict[str, Database]":  # type: ignore[override]
        return defaultdict(Database)

    def close(self) -> None:
        pass


async def nothing(*_: object, **__: object) -> None:
    """Indexes are in place."""


async def test_what_a_broker_has_does_not_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("botdel.terminal.WIDE", 1_000)
    monkeypatch.setattr(topology, "PubSub", Bus)
    monkeypatch.setattr(topology, "Clients", Database)
    monkeypatch.setattr(topology, "Topology", Part)
    monkeypatch.setattr(topology, "prepare_indexes", nothing)
    monkeypatch.setattr(topology, "apply_retention", nothing)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://h")
    assert await topology.apply(load(TopologySettings), []) == 1
    said = capsys.readouterr().out
    assert f"differs of {SHOWN}: filter is '{SHOWN}', expected 'NOT attributes'" in said
    assert f"subscription new {SHOWN}: sought back, to get what its topic kept" in said
    assert harmless(said)
