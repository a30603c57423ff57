"""What the tests of `deploy/terraform` share: the module, and what the code wants."""

from typing import Any, Final, cast

from google.pubsub_v1.types import Subscription

from deletion.adapters.pubsub.names import Names
from deletion.adapters.pubsub.topology import Topology
from deletion.adapters.pubsub.wanted import SEEK_LABEL, SEEK_PENDING
from tests.support.terraform import MODULE, Module, texts

PROJECT: Final = "a-project"
SERVICES: Final = ("conversations", "media")
NAMES: Final = Names(PROJECT, "bot-deletion")
GIVEN: Final = {"project_id": PROJECT, "services": SERVICES}


def module(old: str = "", new: str = "") -> Module:
    """The module, with `old`, which must be there, replaced by `new` in its texts."""
    found = texts(MODULE)
    assert any(old in text for text in found.values()), old
    return Module(
        GIVEN, {name: text.replace(old, new) for name, text in found.items()} if old else found
    )


def wanted_subscriptions() -> list[Subscription]:
    """With the label with which `apply` creates them."""
    topology = Topology(cast("Any", None), cast("Any", None), NAMES, emulated=False)
    wanted = topology.wanted(SERVICES)
    for each in wanted:
        each.labels[SEEK_LABEL] = SEEK_PENDING
    return wanted
