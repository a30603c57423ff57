import asyncio
from datetime import timedelta
from consumers.claims import Claims
from consumers.consumer import Consumer
from consumers.intake import Intake, Outcome
from consumers.metrics import Metrics
from consumers.worker import Worker
from deletion.events import to_message
from deletion.job import Status, suspects
from deletion.plan import Plan
from deletion.quarantine import Quarantine
from deletion.runner import Runner
from tests.support.fakes import *


async def test_core():
    clock = VirtualClock()
    store = ScriptedStore(clock)
    bus = MemoryBus(clock)
    sub = bus.subscribe(SERVICE) if False else None
    from inspect import signature

    print(signature(bus.subscribe))
    sub = bus.subscribe()
    bots = [f"{i:024x}" for i in range(1, 40)]
    data = items(bots, 5)
    step = ScriptedStep("a", data, clock)
    plan = Plan(SERVICE, (step,))
    stopping = asyncio.Event()
    alerts = RecordedAlerts()
    m = Metrics(SERVICE, ["a"], [o.value for o in Outcome])
    runner = Runner(plan, store, clock, POLICY, stopping=stopping, on_batch=m.deleted)

    def w(q, n):
        return Worker(Claims(q, store, clock, POLICY, "w", counted=m.claimed), runner, n, clock, m)

    c = Consumer(
        intake=Intake(
            plan, sub, store, Quarantine(ScriptedDeadLetters(), alerts, clock), alerts, clock
        ),
        workers=[w(SERVICE, 8), w(suspects(SERVICE), 1)],
        subscription=sub,
        store=store,
        clock=clock,
        metrics=m,
    )
    t = asyncio.create_task(c.consume(stopping, 20))
    for b in bots:
        await bus.publish(to_message(placed(b)))
    await until(
        lambda: (
            len(store.jobs) == 39 and all(j.status is Status.COMPLETE for j in store.jobs.values())
        ),
        clock,
        60,
    )
    assert c.problem is None
    stopping.set()
    await t
