"""The imports of the product's processes, done once for `tests.support.forked`."""

import gc
import threading
from importlib import import_module
from typing import Final

MODULES: Final = (
    "botdel.actions",
    "botdel.dead_letters.command",
    "botdel.doctor.command",
    "botdel.healthcheck",
    "botdel.jobs",
    "botdel.jobs_retry",
    "botdel.local.broker.command",
    "botdel.plan",
    "botdel.requests",
    "botdel.services",
    "botdel.topology",
    "console.main",
    "consumers.main",
    "deletion.process.logs",
    "gateway.main",
    "httpcore",
    "recovery.client",
    "recovery.main",
    "recovery.repeating",
    "typer",
)
"""By their names: a linter removes an import that nothing uses. `httpcore` too, which httpx imports
only when it makes a client, and `typer`, which every command needs."""

for name in MODULES:
    import_module(name)
if threading.active_count() > 1:
    raise RuntimeError("an import has started a thread, which a fork would lose")
gc.freeze()
