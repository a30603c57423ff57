"""Snapshots, which the embedded broker does not have: a client is told so, and is shown none."""

from typing import Any

import grpc
import pytest
from google.pubsub_v1 import types

from botdel.local.broker.refusals import Refused
from botdel.local.broker.service import Service
from tests.unit.botdel.local.broker.world import CHAT, TOPIC, World

SNAPSHOT = "projects/p/snapshots/yesterday"
CONTEXT: Any = None


@pytest.fixture
def service() -> Service:
    world = World()
    world.create_topic()
    world.subscribe()
    return Service(world.broker)


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("create_snapshot", types.CreateSnapshotRequest(name=SNAPSHOT, subscription=CHAT)),
        ("seek", types.SeekRequest(subscription=CHAT, snapshot=SNAPSHOT)),
    ],
)
async def test_none_is_taken_and_none_is_sought_to(
    service: Service, method: str, request_: Any
) -> None:
    with pytest.raises(Refused, match="snapshot: the embedded broker does not have") as error:
        await getattr(service, method)(type(request_).pb(request_), CONTEXT)
    assert error.value.code is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("get_snapshot", types.GetSnapshotRequest(snapshot=SNAPSHOT)),
        ("update_snapshot", types.UpdateSnapshotRequest(snapshot={"name": SNAPSHOT})),
        ("delete_snapshot", types.DeleteSnapshotRequest(snapshot=SNAPSHOT)),
    ],
)
async def test_none_is_found(service: Service, method: str, request_: Any) -> None:
    with pytest.raises(Refused, match="yesterday") as error:
        await getattr(service, method)(type(request_).pb(request_), CONTEXT)
    assert error.value.code is grpc.StatusCode.NOT_FOUND


async def test_none_is_listed(service: Service) -> None:
    of_project = types.ListSnapshotsRequest.pb(types.ListSnapshotsRequest(project="projects/p"))
    assert list((await service.list_snapshots(of_project, CONTEXT)).snapshots) == []
    of_topic = types.ListTopicSnapshotsRequest.pb(types.ListTopicSnapshotsRequest(topic=TOPIC))
    assert list((await service.list_topic_snapshots(of_topic, CONTEXT)).snapshots) == []
