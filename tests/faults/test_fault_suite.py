"""The short form of the fault suite; `make test-faults` is the long one.

`FAULT_SEED=N make test TESTS=tests/faults/test_fault_suite.py` repeats the schedule of a run that
printed the seed N.
"""

import os
import secrets
import time
from pathlib import Path

import pytest

from botdel.local.broker_choice import choose_broker
from tests.faults.schedule import BROKER, DATABASE, Kind, schedule
from tests.faults.suite import play

DELETIONS = 30
SECONDS = 25.0
FAULTS = 16


@pytest.mark.proves(
    "crash-between",
    "record-before-ack",
    "duplicates",
    "join",
    "one-holder",
    "nothing-left",
    "nobody-else",
    "servers-away",
    "resume",
    "quarantine",
    "whatever-breaks",
)
@pytest.mark.timeout(900)
async def test_whatever_breaks_every_accepted_deletion_is_done_or_an_operator_can_see_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broker_name: str
) -> None:
    monkeypatch.setenv("BOTDEL_LOCAL_BROKER", broker_name)
    broker = choose_broker(folder=tmp_path / "pubsub").broker
    seed = int(os.environ.get("FAULT_SEED") or secrets.randbelow(2**32))
    print(f"FAULT_SEED={seed}")
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}")

    report = await play(schedule(seed, SECONDS, FAULTS), DELETIONS, SECONDS, tmp_path, tell, broker)
    print("\n".join(f"{name}: {value}" for name, value in report.found.items()))
    assert report.broken == [], f"FAULT_SEED={seed} repeats the schedule"
    assert {kind for kind, _ in report.injected} == set(Kind)
    assert {(Kind.KILL, BROKER), (Kind.KILL, DATABASE)} <= set(report.injected)


def test_a_seed_repeats_its_schedule_and_no_other() -> None:
    first, again, other = (schedule(seed, SECONDS, FAULTS) for seed in (7, 7, 8))
    assert first == again
    assert first.faults != other.faults


def test_every_schedule_has_every_kind_of_fault_in_its_time() -> None:
    for seed in range(50):
        faults = schedule(seed, SECONDS, FAULTS).faults
        assert len(faults) == FAULTS
        assert {fault.kind for fault in faults} == set(Kind)
        assert sorted(faults, key=lambda fault: fault.at) == list(faults)
        assert all(0 <= fault.at <= SECONDS for fault in faults)
