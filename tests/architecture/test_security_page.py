"""SECURITY.md says of every credential what it can do."""

import re
from collections.abc import Iterator
from typing import Final

import pytest

from console.settings import ConsoleSettings
from consumers.settings import ConsumerSettings
from deletion.process.settings import Settings
from gateway.settings import GatewaySettings
from recovery.settings import RecoverSettings, RecoverySettings
from tests.architecture.documents import table
from tests.support.paths import ROOT

PAGE: Final = ROOT / "SECURITY.md"
SECRET: Final = re.compile(r"\b(SecretStr|NamedToken|User)\b")
"""What in the type of a setting makes it a credential."""
PROCESSES: Final = (
    GatewaySettings,
    ConsumerSettings,
    RecoverySettings,
    ConsoleSettings,
    RecoverSettings,
)


def credentials(settings: type[Settings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        if SECRET.search(f"{field.annotation!r} {field.metadata!r}"):
            yield f"BOTDEL_{name.upper()}"


@pytest.mark.parametrize("settings", PROCESSES, ids=lambda settings: settings.__name__)
def test_each_credential_of_a_process_has_a_row(settings: type[Settings]) -> None:
    named = " ".join(row["credential"] for row in table(PAGE, "credential", "held by"))
    found = set(credentials(settings))
    assert found, "each process has one"
    assert {name for name in found if name not in named} == set()
