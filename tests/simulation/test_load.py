"""Two hundred replicas over one service do not trip over each other."""

import asyncio

import pytest

from tests.simulation import loop
from tests.simulation.load import Replicas
from tests.simulation.simulation import silence

REPLICAS, SLOTS = 200, 4


@pytest.mark.proves("old-before-new")
@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_two_hundred_replicas_drain_a_backlog_and_win_most_of_their_claims(seconds: float) -> None:
    """Two thousand short jobs; every replica starts within the same second."""

    async def drain() -> None:
        replicas = Replicas(REPLICAS, SLOTS, seconds)
        for _ in range(40):
            await replicas.place(50)
            await asyncio.sleep(0.05)
        replicas.start()
        await replicas.ended(within=60)
        await replicas.stop()
        assert replicas.won == 2000
        assert replicas.lost < 0.9 * replicas.won, replicas.standing
        assert replicas.store.read < 50 * replicas.won

    with silence():
        loop.run(drain())


@pytest.mark.parametrize(("number", "every"), [(1, 1.0), (1, 0.1), (10, 2.0)])
def test_two_hundred_replicas_with_little_to_do_lose_few_claims(number: int, every: float) -> None:
    async def trickle() -> None:
        replicas = Replicas(REPLICAS, SLOTS, seconds=0.5)
        replicas.start()
        await asyncio.sleep(20)
        looks = replicas.store.looks
        for _ in range(round(30 / every)):
            await replicas.place(number)
            replicas.rng.choice(replicas.workers).wake()
            await asyncio.sleep(every)
        await replicas.ended(within=10)
        assert replicas.lost < 0.5 * replicas.won, replicas.standing
        assert (replicas.store.looks - looks) / 30 < REPLICAS
        await replicas.stop()

    with silence():
        loop.run(trickle())


def test_one_replica_alone_loses_no_claim_and_reads_each_job_once() -> None:
    async def drain() -> None:
        replicas = Replicas(1, SLOTS, seconds=0.05)
        for _ in range(50):
            await replicas.place(10)
            await asyncio.sleep(0.05)
        replicas.start()
        await replicas.ended(within=60)
        await replicas.stop()
        assert (replicas.won, replicas.lost) == (500, 0)
        assert replicas.store.read < 2 * 500

    with silence():
        loop.run(drain())
