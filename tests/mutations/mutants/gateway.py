"""The gateway: gateway/."""

from typing import Final

from tests.mutations.mutants.base import EDGE, Mutant

MUTANTS: Final = (
    Mutant(
        "an event does not say who asked",
        "gateway/requests.py",
        "RequestPlaced(placed_at, requested_by)",
        "RequestPlaced(placed_at)",
        EDGE,
    ),
    Mutant(
        "a token has two names",
        "gateway/settings.py",
        "if names.setdefault(each.token.get_secret_value(), each.name) != each.name:",
        "if False:",
        EDGE,
    ),
)
