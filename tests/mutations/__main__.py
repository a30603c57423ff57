"""Break each guard in turn: python -m tests.mutations [--only TEXT] [--workers N] [--list]."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.mutations.mutants import MUTANTS, Mutant
from tests.support.paths import ROOT

LEFT_OUT: Final = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
WITHIN: Final = 600.0
"""Seconds for one suite. No suite takes nearly that long; one that does proves nothing."""
TEST_WITHIN: Final = 60
"""Seconds for one test: a mutation that makes a test hang makes it fail."""
UNIT: Final = "tests/unit/"
CORE: Final = "tests/unit/deletion/"
ADAPTERS: Final = "tests/unit/deletion/adapters/"
SUITES: Final = {
    "unit": [f"{UNIT}**/test_*.py", "tests/architecture/test_state_machine_doc.py"],
    "simulation": [f"tests/simulation/test_{name}.py" for name in ("life", "simulation", "broker")],
    "saga": [f"{CORE}test_{name}*.py" for name in ("saga", "job", "lease", "runner")],
    "model": ["tests/model/test_*.py"],
    "conformance": [
        "tests/conformance/test_*_store*.py",
        "tests/conformance/test_census.py",
        "tests/conformance/test_deletion_jobs.py",
        "tests/conformance/*/test_*.py",
    ],
    "data": [
        f"{ADAPTERS}mongo/test_*.py",
        f"{UNIT}recovery/test_main.py",
        "tests/integration/test_hung_data_server.py",
        "tests/integration/test_mongo_step.py",
        "tests/integration/test_retention.py",
    ],
    "teams": [
        f"{ADAPTERS}test_python_step.py",
        f"{CORE}testing/test_*.py",
        f"{UNIT}botdel/new_service/test_*.py",
        f"{UNIT}consumers/test_own.py",
    ],
    "objects": [
        f"{ADAPTERS}objects/test_*.py",
        "tests/integration/test_objects_gcs.py",
        "tests/integration/test_objects_step.py",
    ],
    "console": [f"{UNIT}console/**/test_*.py"],
    "lists": [
        f"{ADAPTERS}mongo/test_windows.py",
        "tests/architecture/queries/test_lists.py",
        "tests/architecture/queries/test_pages.py",
        "tests/conformance/ledger/test_mongo_requests.py",
        "tests/conformance/test_console_lists.py",
    ],
    "traces": [
        f"{UNIT}deletion/test_tracing.py",
        f"{UNIT}deletion/test_*_spans.py",
        f"{UNIT}deletion/adapters/test_traces.py",
        f"{UNIT}deletion/adapters/mongo/test_command_spans.py",
        f"{UNIT}deletion/process/test_http_spans.py",
        "tests/architecture/test_traces.py",
    ],
    "broker": [f"{UNIT}botdel/local/broker/test_*.py"],
    "broker process": ["tests/integration/test_embedded_broker.py"],
    "plans": ["tests/acceptance/test_wrong_plans.py"],
    "looks": ["tests/integration/test_plans_looked_at.py"],
    "http": [f"{CORE}test_breaker.py", f"{CORE}test_gate.py", f"{ADAPTERS}http_api/test_*.py"],
    "alerts": ["tests/architecture/test_alert_rules.py"],
    "edge": [
        f"{ADAPTERS}alerts/test_*.py",
        f"{ADAPTERS}pubsub/test_publisher.py",
        f"{ADAPTERS}pubsub/test_readiness.py",
        f"{CORE}process/test_head.py",
        f"{CORE}process/test_http_connections.py",
        f"{CORE}process/test_settings.py",
        f"{UNIT}gateway/test_app.py",
        f"{UNIT}gateway/test_headers.py",
        f"{UNIT}recovery/test_client.py",
    ],
    "callers": [
        f"{CORE}process/test_signing_keys.py",
        f"{CORE}process/test_settings.py",
        f"{UNIT}recovery/test_identities.py",
    ],
}
PYTEST: Final = (
    *("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"),
    f"--timeout={TEST_WITHIN}",
)
NOT_LIFE_CYCLE: Final = (
    "adapters/alerts/",
    "adapters/http_api/",
    "adapters/objects/",
    "adapters/pubsub/test_publisher.py",
    "breaker",
    "consumers/test_own.py",
    "deletion/process/test_http_connections.py",
    "deletion/process/test_settings.py",
    "deletion/process/test_signing_keys.py",
    "deletion/test_gate.py",
    "deletion/testing/",
    "local/broker/",
    "local/test_emulator.py",
    "local/test_processes.py",
    "new_service/",
    "recovery/test_client.py",
    "recovery/test_identities.py",
    "unit/console/",
    "unit/gateway/",
)
"""Parts of the paths of tests that have nothing to do with the life cycle: left out of `unit`."""

Work = TypeVar("Work")
Said = TypeVar("Said")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a suite said: the first test that `failed`, or why it is `unclear` whether one does.

    Both are "" when all passed.
    """

    suite: str
    failed: str = ""
    unclear: str = ""

    @property
    def says(self) -> str:
        """Either, in words."""
        return self.failed or self.unclear or "none"


async def main() -> int:
    """Returns 0 if every mutation was noticed, 1 if one was not or that is unclear, and 2 if the
    unchanged code fails or no mutation is chosen.
    """
    options = _options()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    if not chosen:
        print(f"--only: no mutation has {options.only!r} in its name", file=sys.stderr)
        return 2
    if options.list:
        print(*(f"{mutant.file}: {mutant.name}" for mutant in chosen), sep="\n")
        return 0
    with _copies(options.workers) as copies:
        suites = sorted({suite for mutant in chosen for suite in mutant.suites})
        unchanged = (await _each(suites, copies, _run)).values()
        if broken := [v for v in unchanged if v.failed or v.unclear]:
            print("without any mutation:", *(f"{v.suite}: {v.says}" for v in broken), sep="\n  ")
            return 2
        verdicts = await _each(chosen, copies, _verdicts)
    Console(width=160).print(_summary(chosen, verdicts))
    noticed = [mutant for mutant in chosen if _noticed(verdicts[mutant])]
    print(f"{len(noticed)} of {len(chosen)} mutations were noticed")
    return 0 if len(noticed) == len(chosen) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="name them, and do nothing")
    return parser.parse_args()


@contextmanager
def _copies(number: int) -> Iterator[list[Path]]:
    """Copies of the code, one for each worker."""
    with tempfile.TemporaryDirectory(prefix="botdel-mutations-") as folder:
        copies = [Path(folder) / f"copy-{n}" for n in range(number)]
        for copy in copies:
            shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        yield copies


async def _each(
    work: Sequence[Work], copies: Sequence[Path], judge: Callable[[Work, Path], Awaitable[Said]]
) -> dict[Work, Said]:
    """What `judge` returns for each; it judges as many at a time as there are copies."""
    waiting, said = list(reversed(work)), dict[Work, Said]()

    async def judge_next(copy: Path) -> None:
        while waiting:
            each = waiting.pop()
            said[each] = await judge(each, copy)

    await asyncio.gather(*map(judge_next, copies))
    return said


async def _verdicts(mutant: Mutant, copy: Path) -> list[Verdict]:
    source = (copy / mutant.file).read_text()
    (copy / mutant.file).write_text(mutated(mutant, source))
    verdicts: list[Verdict] = []
    try:
        for suite in mutant.suites:
            verdicts.append(await _run(suite, copy, mutant.file))
            if _noticed(verdicts):
                break
    finally:
        (copy / mutant.file).write_text(source)
    unnoticed = "UNCLEAR" if any(verdict.unclear for verdict in verdicts) else "NOT NOTICED"
    seen = "noticed" if _noticed(verdicts) else unnoticed
    print(f"{seen:>12}  {mutant.file}: {mutant.name}", flush=True)
    return verdicts


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the guard broken. Raises `ValueError` unless it stands there once."""
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: found {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def _tests(suite: str, root: Path) -> list[str]:
    paths = sorted(path for pattern in SUITES[suite] for path in root.glob(pattern))
    left_out = NOT_LIFE_CYCLE if suite == "unit" else ()
    return [
        str(path)
        for path in paths
        if not any(part in path.relative_to(root).as_posix() for part in left_out)
    ]


async def _run(suite: str, root: Path, file: str = "") -> Verdict:
    """The tests that are `near` the file first, as they are the likeliest to fail."""
    tests = _tests(suite, root)
    first = near(tests, file)
    verdict = await judged(suite, first, root) if first else Verdict(suite)
    return verdict if verdict.failed else await judged(suite, tests, root)


def near(tests: Sequence[str], file: str) -> list[str]:
    """Those of `tests` that are named after `file` or its folder; none for no file."""
    words = [word for word in (Path(file).parent.name, Path(file).stem) if word]
    return [test for test in tests if any(word in Path(test).name for word in words)]


async def judged(suite: str, tests: Sequence[str], root: Path) -> Verdict:
    """Run the tests. Only a test that fails has noticed something. It is unclear whether one does
    if the suite does not end, cannot be collected, or has no tests, or if a test cannot be set up
    or torn down, perhaps because a port is in use.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *PYTEST,
        *tests,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Verdict(suite, unclear=f"not done within {WITHIN:g} s")
    said = output.decode()
    match process.returncode:
        case pytest.ExitCode.OK:
            return Verdict(suite)
        case pytest.ExitCode.TESTS_FAILED if failed := _first("FAILED ", said):
            return Verdict(suite, failed=failed)
        case code:
            why = _first("ERROR ", said) or said[-200:]
            return Verdict(suite, unclear=f"pytest exits with {code}: {why}")


def _first(mark: str, output: str) -> str:
    """The name in the first line of pytest's summary that begins with `mark`, or ""."""
    summary = output.rpartition("short test summary info")[2]
    lines = [line for line in summary.splitlines() if line.startswith(mark)]
    return lines[0].split(" - ")[0].split("::")[-1] if lines else ""


def _noticed(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.failed for verdict in verdicts)


def _summary(chosen: Sequence[Mutant], verdicts: dict[Mutant, list[Verdict]]) -> Table:
    table = Table("mutation", "suite", "first test that failed")
    for mutant in chosen:
        for number, verdict in enumerate(verdicts[mutant]):
            name = "" if number else f"{mutant.file}: {mutant.name}"
            colour = "" if verdict.failed else "yellow"
            table.add_row(name, verdict.suite, Text(verdict.says, colour))
    return table


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
