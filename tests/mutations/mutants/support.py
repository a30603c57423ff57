"""The stores in memory, which stand in for real ones: tests/support/."""

from typing import Final

from tests.mutations.mutants.base import DATABASE, Mutant

MEMORY: Final = "tests/support/memory_stores.py"

MUTANTS: Final = (
    Mutant(
        "the store in memory writes whatever the guard says",
        MEMORY,
        "if stored != written and not _matches(stored, change):",
        "if False:",
        ("unit", "simulation", "conformance"),
    ),
    Mutant(
        "the store in memory lets a bot have two live jobs",
        MEMORY,
        "if live is None or not job.live:",
        "if True:",
        ("unit", "simulation", "conformance"),
    ),
    Mutant(
        "the store in memory forgets who joined",
        MEMORY,
        "if job.event_id in standing.event_ids",
        "if job.event_id == standing.event_id",
        ("unit", "simulation", "conformance"),
    ),
    Mutant(
        "memory: a compensated job is started anew beside a live one",
        MEMORY,
        "if written.live and any(job.live for job in others):",
        "if False:",
        DATABASE,
    ),
)
