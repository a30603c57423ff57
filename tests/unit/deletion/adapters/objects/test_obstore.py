"""obstore where no other way follows, as for Azure, over its store in memory."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import obstore
import pytest
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import MemoryStore

from deletion.adapters.objects.bucket import Item, WayEnds
from deletion.adapters.objects.obstore_way import ObstoreWay
from deletion.errors import ObjectsUnavailable

KEYS = [f"bots/7/{n}" for n in range(9)]


def way_of(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *held: str, is_exact: bool = True
) -> ObstoreWay:
    """A way over `KEYS`, of which those that are `held` answer a delete with `error`."""
    store, delete = MemoryStore(), obstore.delete
    for key in KEYS:
        obstore.put(store, key, b"x")

    def refusing(store: Any, paths: str | Sequence[str]) -> None:
        for key in [paths] if isinstance(paths, str) else paths:
            if key in held:
                raise error
            delete(store, key)

    monkeypatch.setattr(obstore, "delete", refusing)
    return ObstoreWay("az://media", store, ThreadPoolExecutor(2), is_exact)


def left(way: ObstoreWay) -> list[str]:
    return [meta["path"] for page in obstore.list(way.store) for meta in page]


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), AlreadyExistsError("held")])
async def test_a_blob_that_is_held_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    way = way_of(monkeypatch, error, KEYS[0], KEYS[5])
    refusals = await way.remove([Item(key) for key in KEYS])
    assert [refusal.item.key for refusal in refusals] == [KEYS[0], KEYS[5]]
    assert not any(refusal.passes for refusal in refusals)
    assert left(way) == [KEYS[0], KEYS[5]]


@pytest.mark.parametrize("error", [GenericError("500"), UnauthenticatedError("expired")])
async def test_what_may_pass_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    way = way_of(monkeypatch, error, KEYS[0])
    with pytest.raises(ObjectsUnavailable):
        await way.remove([Item(key) for key in KEYS])


async def test_where_another_way_follows_it_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    way = way_of(monkeypatch, PermissionDeniedError("no"), KEYS[0], is_exact=False)
    with pytest.raises(WayEnds):
        await way.remove([Item(key) for key in KEYS])
