"""Run schedules: python -m tests.simulation [--seed N] [--schedules N] [--seconds S] [--keep]."""

import argparse
import secrets
import sys
import time
import warnings
from collections import Counter
from itertools import count, islice

from tests.simulation.corpus import keep
from tests.simulation.shrink import described, shrunk
from tests.simulation.simulation import NEVER_AWAITED, Result, explore


def main() -> int:
    """0 when no rule was broken, else 1."""
    options = _options()
    warnings.filterwarnings("ignore", NEVER_AWAITED)
    first = secrets.randbits(32) if options.seed is None else options.seed
    began, runs = time.monotonic(), 0
    faults: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    print(f"from seed {first}", flush=True)
    for seed in islice(count(first), options.schedules):
        result = explore(seed)
        runs += 1
        faults.update(str(decision.action) for decision in result.schedule.decisions)
        jobs.update(result.jobs)
        turns.update(result.turns)
        took = time.monotonic() - began
        if result.broken or (options.seconds is not None and took > options.seconds):
            break
    print(f"{runs} schedules in {took:.1f} s, {runs / took * 60:,.0f} a minute")
    print("faults:", _listed(faults))
    print("jobs:", _listed(jobs))
    print("sagas:", _listed(turns))
    return _tell(result, is_kept=options.keep) if result.broken else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="run this seed, or count on from it")
    parser.add_argument("--schedules", type=int, help="run so many, one after another")
    parser.add_argument("--seconds", type=float, help="run for so long (60 by default)")
    parser.add_argument("--keep", action="store_true", help="keep a failure as a regression test")
    options = parser.parse_args()
    if options.schedules is None and options.seconds is None:
        options.schedules, options.seconds = (None, 60.0) if options.seed is None else (1, None)
    return options


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items()))


def _tell(result: Result, *, is_kept: bool) -> int:
    seed = result.schedule.seed
    print(f"seed {seed} breaks:", *result.broken, sep="\n  ", flush=True)
    smallest = shrunk(result.schedule)
    print(f"the smallest schedule that breaks a rule:\n{described(smallest)}")
    if is_kept:
        print(f"kept as {keep(smallest, f'seed-{seed}')}")
    return 1


sys.exit(main())
