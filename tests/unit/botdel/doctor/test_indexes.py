"""Indexes that are missing or differ, and how each is put right."""

from typing import Any

import pytest
from pymongo import ASCENDING, IndexModel

from botdel.doctor.indexes import index_finding, retention_finding
from deletion.adapters.mongo.jobs import BY_DUE, BY_EVENTS, BY_LIVE_BOT, BY_SILENCE, INDEXES
from deletion.adapters.mongo.retention import COMPLETE_JOBS, RetentionDifference
from deletion.doctor import Finding, Verdict

DIFFERS = RetentionDifference("after 31 days", "run `drop`")


def described(*indexes: IndexModel) -> dict[str, dict[str, Any]]:
    """As the driver tells them."""
    told = {"_id_": {"v": 2, "key": [("_id", 1)]}}
    for index in indexes:
        document = dict(index.document)
        document["key"] = list(document["key"].items())
        told[document.pop("name")] = {"v": 2, **document}
    return told


def jobs_with(**changed: dict[str, Any]) -> Finding:
    found = described(*INDEXES)
    for name, options in changed.items():
        found[name] |= options
    return index_finding("deletion_jobs", INDEXES, found)


def test_indexes_as_they_should_be_are_fine_beside_others() -> None:
    others = described(*INDEXES, IndexModel([("placedAt", ASCENDING)], name="somebodys"))
    assert index_finding("deletion_jobs", INDEXES, others).status is Verdict.OK


def test_what_a_server_adds_by_itself_is_no_difference() -> None:
    assert (
        jobs_with(**{BY_SILENCE: {"ns": "x", "background": True, "sparse": False}}).status == "ok"
    )


@pytest.mark.parametrize(
    ("days", "difference", "exists", "status", "said"),
    [
        (None, None, False, Verdict.OK, "kept for ever"),
        (90, None, True, Verdict.OK, "deleted 90 days after"),
        (90, None, False, Verdict.FAILED, "BOTDEL_KEEP_COMPLETE_DAYS is 90"),
        (90, DIFFERS, True, Verdict.FAILED, "after 31 days"),
        (None, DIFFERS, True, Verdict.FAILED, "after 31 days"),
    ],
)
def test_how_long_complete_jobs_are_kept_is_held_to_the_setting(
    days: int | None,
    difference: RetentionDifference | None,
    exists: bool,
    status: Verdict,
    said: str,
) -> None:
    found = retention_finding(COMPLETE_JOBS, days, difference, exists=exists)
    assert found.status is status
    assert said in found.detail
    remedy = "run `drop`" if difference else "run `botdel topology apply`"
    assert found.remedy == ("" if status is Verdict.OK else remedy)


def test_missing_indexes_are_named_and_made_by_apply() -> None:
    found = index_finding("deletion_jobs", INDEXES, described())
    assert found.status is Verdict.FAILED
    assert all(name in found.detail for name in (BY_EVENTS, BY_LIVE_BOT, BY_SILENCE, BY_DUE))
    assert found.remedy == "run `botdel topology apply`"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (BY_EVENTS, {"unique": False}),
        (BY_EVENTS, {"key": [("service", 1), ("botId", 1), ("eventIds", 1)]}),
        (BY_SILENCE, {"key": [("status", 1), ("lastModifiedAt", -1)]}),
        (BY_SILENCE, {"unique": True}),
        (BY_SILENCE, {"expireAfterSeconds": 60}),
        (BY_LIVE_BOT, {"partialFilterExpression": {"live": False}}),
    ],
)
def test_an_index_that_differs_has_to_be_dropped_first(name: str, options: dict[str, Any]) -> None:
    found = jobs_with(**{name: options})
    assert found.status is Verdict.FAILED
    assert name in found.detail
    drop = f'`db.deletion_jobs.dropIndex("{name}")`'
    assert found.remedy == f"{drop}, then run `botdel topology apply`"
