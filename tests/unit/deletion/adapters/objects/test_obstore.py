"""obstore where no other lister follows, as for Azure, over its store in memory."""

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

from deletion.adapters.objects.bucket import Item, ListerEnds
from deletion.adapters.objects.obstore_lister import ObstoreLister
from deletion.errors import ObjectsUnavailable

KEYS = [f"bots/7/{n}" for n in range(9)]


def lister_of(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *held: str, is_alone: bool = True
) -> ObstoreLister:
    """A lister over `KEYS`, of which those that are `held` answer a delete with `error`."""
    store, delete = MemoryStore(), obstore.delete
    for key in KEYS:
        obstore.put(store, key, b"x")

    def refusing(store: Any, paths: str | Sequence[str]) -> None:
        for key in [paths] if isinstance(paths, str) else paths:
            if key in held:
                raise error
            delete(store, key)

    monkeypatch.setattr(obstore, "delete", refusing)
    return ObstoreLister("az://media", store, ThreadPoolExecutor(2), is_alone)


def left(lister: ObstoreLister) -> list[str]:
    return [meta["path"] for page in obstore.list(lister.store) for meta in page]


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), AlreadyExistsError("held")])
async def test_a_blob_that_is_held_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lister = lister_of(monkeypatch, error, KEYS[0], KEYS[5])
    refusals = await lister.remove([Item(key) for key in KEYS])
    assert [refusal.item.key for refusal in refusals] == [KEYS[0], KEYS[5]]
    assert not any(refusal.passes for refusal in refusals)
    assert left(lister) == [KEYS[0], KEYS[5]]


@pytest.mark.parametrize("error", [GenericError("500"), UnauthenticatedError("expired")])
async def test_what_may_pass_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    lister = lister_of(monkeypatch, error, KEYS[0])
    with pytest.raises(ObjectsUnavailable):
        await lister.remove([Item(key) for key in KEYS])


async def test_where_another_lister_follows_it_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lister = lister_of(monkeypatch, PermissionDeniedError("no"), KEYS[0], is_alone=False)
    with pytest.raises(ListerEnds):
        await lister.remove([Item(key) for key in KEYS])
