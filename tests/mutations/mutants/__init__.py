"""The guards, each broken in one place: a file for each part of the source."""

from typing import Final

from tests.mutations.mutants import (
    adapters,
    botdel,
    breaker,
    broker,
    claims,
    consumers,
    deletion,
    doctor,
    gateway,
    http_api,
    job_record,
    job_transitions,
    ledger,
    local,
    mongo,
    mongo_jobs,
    new_service,
    object_stores,
    objects,
    pace,
    process,
    pubsub,
    recovery,
    runner,
    support,
    testing,
)
from tests.mutations.mutants.base import Mutant

__all__ = ["MUTANTS", "Mutant"]

MUTANTS: Final = (
    *job_record.MUTANTS,
    *job_transitions.MUTANTS,
    *runner.MUTANTS,
    *deletion.MUTANTS,
    *pace.MUTANTS,
    *consumers.MUTANTS,
    *claims.MUTANTS,
    *breaker.MUTANTS,
    *recovery.MUTANTS,
    *botdel.MUTANTS,
    *adapters.MUTANTS,
    *mongo.MUTANTS,
    *ledger.MUTANTS,
    *process.MUTANTS,
    *testing.MUTANTS,
    *new_service.MUTANTS,
    *pubsub.MUTANTS,
    *local.MUTANTS,
    *doctor.MUTANTS,
    *http_api.MUTANTS,
    *support.MUTANTS,
    *mongo_jobs.MUTANTS,
    *gateway.MUTANTS,
    *objects.MUTANTS,
    *object_stores.MUTANTS,
    *broker.MUTANTS,
)
