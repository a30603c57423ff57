"""Errors of the driver that may pass are told from those that stay."""

import pytest
from pymongo.errors import (
    BulkWriteError,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
    WriteError,
)

from deletion.adapters.mongo.connection import connect, translated
from deletion.errors import StoreUnavailable
from tests.support.fake_mongo import MONGOS, FakeMongo, failure

TRANSIENT = (
    6,
    7,
    89,
    91,
    133,
    134,
    175,
    189,
    202,
    262,
    365,
    9001,
    10107,
    11600,
    11602,
    13435,
    13436,
)
"""HostUnreachable, NetworkTimeout, ShutdownInProgress, FailedToSatisfyReadPreference,
ReadConcernMajorityNotAvailableYet, QueryPlanKilled, PrimarySteppedDown, ExceededTimeLimit,
SocketException, NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange,
NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary"""
LASTING = (2, 13, 121, 11000)


def bulk(code: int, kind: str) -> BulkWriteError:
    """Behind a duplicate, so that it is neither the first nor the last."""
    errors = [{"index": 0, "code": each, "errmsg": ""} for each in (11000, code, 11000)]
    return BulkWriteError({"writeErrors": [], "writeConcernErrors": [], kind: errors})


def errors(code: int) -> list[PyMongoError]:
    plain = [kind("", code, {}) for kind in (OperationFailure, WriteError, WriteConcernError)]
    return [*plain, *(bulk(code, kind) for kind in ("writeErrors", "writeConcernErrors"))]


@pytest.mark.proves("failover")
@pytest.mark.parametrize("code", TRANSIENT)
def test_a_code_of_a_failover_may_pass_without_a_label(code: int) -> None:
    for error in errors(code):
        with pytest.raises(StoreUnavailable), translated():
            raise error


@pytest.mark.parametrize("code", LASTING)
def test_any_other_code_stays_as_it_is(code: int) -> None:
    for error in errors(code):
        with pytest.raises(type(error)) as raised, translated():
            raise error
        assert raised.value is error


@pytest.mark.proves("failover")
async def test_a_write_that_mongos_could_not_pass_on_may_pass() -> None:
    """As mongos reports them: inside an answer that is `ok`, and without a label."""

    def reply(command: dict[str, object]) -> dict[str, object]:
        if "insert" in command:
            return {"n": 0, "writeErrors": [{"index": 0, "code": 189, "errmsg": "stepped down"}]}
        if "update" in command:
            return {"n": 1, "writeConcernError": {"code": 91, "errmsg": "shutting down"}}
        return failure(6, "network error while attempting to run command")

    async with FakeMongo(MONGOS, reply) as server:
        client = connect(server.uri)
        collection = client["d"]["c"]
        try:
            for call in (
                lambda: collection.insert_many([{"a": 1}], ordered=False),
                lambda: collection.update_one({"_id": 1}, {"$set": {"a": 1}}),
                lambda: collection.find_one({"_id": 1}),
            ):
                with pytest.raises(StoreUnavailable), translated():
                    await call()
        finally:
            client.close()
