"""What must hold once the faults are over and time has passed."""

from collections import Counter
from collections.abc import Iterator

from deletion.alerts import AlertKind
from deletion.dead_letter import DeadLetter
from deletion.errors import Interrupted, LeftOvers
from deletion.job import Job, Status
from tests.simulation.schedule import GATEWAY, Action
from tests.simulation.world import World
from tests.support.ledger import violations as violations_of_ownership

SPOILING = {
    Action.DELAY,
    Action.LATE,
    Action.OUTAGE,
    Action.LOSE_ANSWER,
    Action.BREAK,
    Action.KILL,
    Action.KILL_AFTER,
    Action.PAUSE,
    Action.REFUSE,
    Action.STRAY,
}
ENDED = (Status.COMPLETE, Status.COMPENSATED, Status.EXHAUSTED)


def unsettled(world: World) -> list[str]:
    """What has not come to an end yet, a line each."""
    jobs = [
        f"job {job.id} is {job.status}"
        for job in world.jobs.jobs.values()
        if job.status not in ENDED
    ]
    messages = [
        f"{len(subscription.unacked)} messages of {subscription.service} are not acked"
        for subscription in world.broker.subscriptions
        if subscription.unacked
    ]
    return jobs + messages


def violations(world: World) -> list[str]:
    """Every rule that is broken at the end, a line each."""
    return [
        *unsettled(world),
        *violations_of_ownership(world.entries),
        *world.holds.broken,
        *world.calls.broken,
        *world.calls.left_at_the_end(),
        *_lost(world),
        *_left(world),
        *_others(world),
        *_poison(world),
        *_alerts(world),
        *_spoiled(world),
    ]


def _lost(world: World) -> Iterator[str]:
    """Every accepted event is a job in each service, if only after its dead letter was replayed."""
    jobs = world.jobs.jobs
    recorded = {(jobs[job].service, event) for job, event in world.covered}
    for request in world.requests:
        event = request.subject.event_id
        for service in world.services:
            if request.is_accepted and (service, event) not in recorded:
                yield f"event {event} is lost in {service}"


def _left(world: World) -> Iterator[str]:
    """What a complete job stands for is gone, and stays gone."""
    for job in world.jobs.jobs.values():
        if job.status is Status.COMPLETE:
            yield from world.left_of(job)


def _others(world: World) -> Iterator[str]:
    if gone := world.bystanders - world.rows:
        yield f"{len(gone)} rows of a bot are gone that nobody asked to delete"


def _poison(world: World) -> Iterator[str]:
    """Each is one dead letter of each service, and one more where Pub/Sub gave it up as well.

    Without filters, as here, a service may also have to give up what was replayed for another.
    """
    for message in world.poison:
        for service, subscription in world.broker.of.items():
            letters = [each for each in world.letters.letters.values() if each.service == service]
            reasons = [each.reason for each in letters if each.data == message.data and _own(each)]
            if not 1 <= len(reasons) <= (2 if subscription.given_up else 1):
                yield f"poison has {len(reasons)} dead letters in {service}: {reasons}"


def _own(letter: DeadLetter) -> bool:
    return letter.attributes.get("service", letter.service) == letter.service


def _alerts(world: World) -> Iterator[str]:
    """Nobody is told of a dead letter twice, unless it came back."""
    told = Counter(a.example for a in world.alerts.told if a.kind is AlertKind.DEAD_LETTER)
    for letter, times in told.items():
        if times > 1 + world.letters.letters[letter].returns:
            yield f"{times} alerts of dead letter {letter}"


def _spoiled(world: World) -> Iterator[str]:
    """One fault costs a job one attempt at the most, and a message one delivery."""
    actions = Counter(d.action for d in world.decisions if d.process != GATEWAY)
    faults = sum(times for action, times in actions.items() if action in SPOILING)
    if world.cursed or world.is_in_trouble or actions[Action.SKEW]:
        return  # what kills a process, or takes every job for stale, spoils much at once
    if faults < world.policy.max_attempts:
        for job in world.exhausted:
            if not _is_excused(world.jobs.jobs[job]):
                yield f"job {job} spent its attempts on {faults} faults"
    deliveries = faults + actions[Action.DUPLICATE] + actions[Action.TERMINATE]
    given_up = sum(subscription.given_up for subscription in world.broker.of.values())
    if given_up and deliveries < world.scenario.max_deliveries:
        yield f"{given_up} messages were given up over {deliveries} faults"


def _is_excused(job: Job) -> bool:
    """Clients who write and delete as fast as a run reads back are no fault of anything, nor is a
    run that is stopped for the third time at the same batch.
    """
    excuses = {LeftOvers.__name__, Interrupted.__name__}
    return any(past.reason in excuses for past in job.past_attempts)
