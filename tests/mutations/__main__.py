"""Break each guard in turn: python -m tests.mutations [--only TEXT] [--workers N] [--list]."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.mutations.mutants import MUTANTS, Mutant
from tests.support.paths import ROOT

LEFT_OUT: Final = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
WITHIN: Final = 180.0
"""Seconds for one suite; a mutation that makes it hang is noticed by that."""
UNIT: Final = "tests/unit/"
CORE: Final = "tests/unit/deletion/"
ADAPTERS: Final = "tests/unit/deletion/adapters/"
SUITES: Final = {
    "unit": [f"{UNIT}**/test_*.py", "tests/architecture/test_state_machine_doc.py"],
    "simulation": [f"tests/simulation/test_{name}.py" for name in ("life", "simulation", "broker")],
    "saga": [f"{CORE}test_{name}*.py" for name in ("saga", "job", "lease", "runner")],
    "model": ["tests/model/test_*.py"],
    "conformance": ["tests/conformance/test_*_store*.py", "tests/conformance/job_store/test_*.py"],
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
    "broker": [f"{UNIT}botdel/local/broker/test_*.py"],
    "broker process": ["tests/integration/test_embedded_broker.py"],
    "plans": ["tests/acceptance/test_wrong_plans.py"],
    "looks": ["tests/integration/test_plans_looked_at.py"],
    "http": [f"{CORE}test_breaker.py", f"{CORE}test_gate.py", f"{ADAPTERS}http_api/test_*.py"],
    "edge": [
        f"{ADAPTERS}alerts/test_*.py",
        f"{ADAPTERS}pubsub/test_publisher.py",
        f"{ADAPTERS}pubsub/test_readiness.py",
        f"{CORE}process/test_connections.py",
        f"{CORE}process/test_settings.py",
        f"{UNIT}gateway/test_app.py",
        f"{UNIT}gateway/test_headers.py",
        f"{UNIT}recovery/test_client.py",
    ],
}
PYTEST: Final = ["-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
SLOW: Final = (
    "adapters/alerts/",
    "adapters/http_api/",
    "adapters/objects/",
    "adapters/pubsub/test_publisher.py",
    "breaker",
    "consumers/test_own.py",
    "deletion/process/test_connections.py",
    "deletion/process/test_settings.py",
    "deletion/test_gate.py",
    "deletion/testing/",
    "local/broker/",
    "local/test_emulator.py",
    "local/test_processes.py",
    "new_service/",
    "recovery/test_client.py",
    "unit/gateway/",
)
"""What has nothing to do with the life cycle is left out of the unit tests."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a suite said: the first test that failed, "" when all passed."""

    suite: str
    failed: str


async def main() -> int:
    """0 when every mutation was noticed, 1 when one was not, 2 when the code fails without any
    or none is chosen.
    """
    options = _options()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    if not chosen:
        print(f"--only: no mutation has {options.only!r} in its name", file=sys.stderr)
        return 2
    if options.list:
        print(*(f"{mutant.file}: {mutant.name}" for mutant in chosen), sep="\n")
        return 0
    if broken := [v for v in await _unchanged(chosen) if v.failed]:
        print("without any mutation:", *(f"{v.suite}: {v.failed}" for v in broken), sep="\n  ")
        return 2
    waiting = list(reversed(chosen))
    verdicts: dict[Mutant, list[Verdict]] = {}
    await asyncio.gather(*(_work(waiting, verdicts) for _ in range(options.workers)))
    Console(width=160).print(_summary(chosen, verdicts))
    unnoticed = [mutant.name for mutant in chosen if not _noticed(verdicts[mutant])]
    print(f"{len(chosen) - len(unnoticed)} of {len(chosen)} mutations were noticed")
    return 1 if unnoticed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="those whose name has this in it")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="name them, and do nothing")
    return parser.parse_args()


async def _unchanged(chosen: Sequence[Mutant]) -> list[Verdict]:
    suites = sorted({suite for mutant in chosen for suite in mutant.suites})
    return [await _run(suite, ROOT) for suite in suites]


async def _work(waiting: list[Mutant], verdicts: dict[Mutant, list[Verdict]]) -> None:
    with tempfile.TemporaryDirectory(prefix="botdel-mutations-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        while waiting:
            mutant = waiting.pop()
            verdicts[mutant] = await _verdicts(mutant, copy)
            seen = "noticed" if _noticed(verdicts[mutant]) else "NOT NOTICED"
            print(f"{seen:>12}  {mutant.file}: {mutant.name}", flush=True)


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
    return verdicts


def mutated(mutant: Mutant, source: str) -> str:
    """The source with the guard broken. Raises `ValueError` unless it stands there once."""
    if source.count(mutant.old) != 1:
        raise ValueError(f"{mutant.name}: found {source.count(mutant.old)} times in {mutant.file}")
    return source.replace(mutant.old, mutant.new)


def _tests(suite: str, root: Path) -> list[str]:
    paths = sorted(path for pattern in SUITES[suite] for path in root.glob(pattern))
    left_out = SLOW if suite == "unit" else ()
    return [
        str(path)
        for path in paths
        if not any(part in path.relative_to(root).as_posix() for part in left_out)
    ]


async def _run(suite: str, root: Path, file: str = "") -> Verdict:
    """The tests that are `near` the file first, as they are the likeliest to fail."""
    tests = _tests(suite, root)
    first = near(tests, file)
    verdict = await _pytest(suite, first, root) if first else Verdict(suite, "")
    return verdict if verdict.failed else await _pytest(suite, tests, root)


def near(tests: Sequence[str], file: str) -> list[str]:
    """Those of `tests` that are named after `file` or its folder; none for no file."""
    words = [word for word in (Path(file).parent.name, Path(file).stem) if word]
    return [test for test in tests if any(word in Path(test).name for word in words)]


async def _pytest(suite: str, tests: Sequence[str], root: Path) -> Verdict:
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
        return Verdict(suite, f"not done within {WITHIN:g} s")
    return Verdict(suite, _failure(output.decode()) if process.returncode else "")


def _failure(output: str) -> str:
    marks = ("FAILED ", "ERROR ")
    lines = [line for line in output.splitlines() if line.startswith(marks)]
    return lines[0].split(" - ")[0].split("::")[-1] if lines else output[-200:]


def _noticed(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.failed for verdict in verdicts)


def _summary(chosen: Sequence[Mutant], verdicts: dict[Mutant, list[Verdict]]) -> Table:
    table = Table("mutation", "suite", "first test that failed")
    for mutant in chosen:
        for number, verdict in enumerate(verdicts[mutant]):
            name = "" if number else f"{mutant.file}: {mutant.name}"
            table.add_row(name, verdict.suite, escape(verdict.failed) or "[yellow]none")
    return table


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
