"""A job costs as many calls, and reads as many jobs, beside many others as beside few."""

from collections.abc import Callable, Coroutine

import pytest

from tests.simulation.growth import Cost, deletions, intake, run, settling, sweep

WORK = 300
FLAT = 1.3
EXAMINED = ("calls", "read", "matched")

Work = Callable[[int], Coroutine[None, None, Cost]]


@pytest.mark.proves("cost-flat")
@pytest.mark.parametrize(
    ("work", "few", "many"),
    [
        pytest.param(
            lambda n: deletions(n, WORK, services=1, replicas=50), 2_000, 20_000, id="50 replicas"
        ),
        pytest.param(
            lambda n: deletions(n, WORK, services=10, replicas=1), 5_000, 50_000, id="10 services"
        ),
        pytest.param(lambda n: intake(n, WORK), 2_000, 20_000, id="intake"),
        pytest.param(lambda n: sweep(n, WORK), 2_000, 20_000, id="sweep"),
        pytest.param(
            lambda n: settling(n, WORK, services=100), 2_000, 20_000, id="ledger of 100 services"
        ),
    ],
)
def test_what_a_job_costs_does_not_grow_with_the_jobs_around_it(
    work: Work, few: int, many: int
) -> None:
    small, large = run(work(few)), run(work(many))
    for name in EXAMINED:
        assert large.each(name) <= FLAT * small.each(name), (name, small, large)
