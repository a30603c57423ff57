"""A release whose programs start in milliseconds: a fork server of its own forks them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from botdel.local.processes import ChildProcess
from tests.support import fork_server
from tests.support.forked import ForkedProcess, ForkServer
from tests.upgrade.releases import Code, Env, Program

MODULES: Final = (
    "botdel.dead_letters.command",
    "botdel.doctor.command",
    "botdel.jobs",
    "botdel.jobs_retry",
    "botdel.topology",
    "consumers.main",
    "gateway.main",
    "recovery.client",
    "recovery.main",
    "recovery.mongo_sweeps",
)
"""Modules that every release has, and that its programs need."""


@dataclass(frozen=True)
class ForkingCode(Code):
    """A version whose programs are forked from `server`."""

    server: ForkServer

    def _process(
        self, name: str, program: Program, arguments: Sequence[str], env: Env, cwd: Path | None
    ) -> ChildProcess:
        argv, found = (str(program), *arguments), {**env, **self.paths}
        process = ForkedProcess(f"{name} {self.version}", argv, env=found, cwd=cwd)
        process.server = self.server
        return process


@contextmanager
def forking(code: Code) -> Iterator[ForkingCode]:
    """Start a fork server for `code`; yield the same version, forked from it."""
    # -P: otherwise tests/support would come first on the release's path
    with ForkServer(MODULES, "-P", fork_server.__file__, env=code.paths) as server:
        yield ForkingCode(code.version, code.folder, server)
