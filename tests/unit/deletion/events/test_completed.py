"""The event that announces a settled request, and what it may not hold."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from deletion.errors import InvalidEvent
from deletion.events import (
    MAX_EVENT_BYTES,
    BotDeletionSubject,
    CompletedShare,
    DeletionCompleted,
    attributes,
    completed,
    completion_id,
    decode,
    encode,
    requested,
)
from deletion.events.codec import MOST_COMPLETED
from deletion.events.generated.bot_deletion.v1 import bot_deletion_subject_pb2 as pb
from deletion.ids import RESERVED_SERVICES
from deletion.request import Waiver
from tests.support.clock import START
from tests.support.events import BOT_ID, EVENT_ID, NOW, PLACED, message
from tests.support.factories import LATER, a_deletion_request

SHARE = CompletedShare("billing", "65f0a1b2c3d4e5f607180001", NOW)
COMPLETED = DeletionCompleted(EVENT_ID, NOW, NOW, (SHARE, CompletedShare("media", "", NOW)))
SUBJECT = BotDeletionSubject(completion_id(EVENT_ID), NOW, BOT_ID, COMPLETED)


def test_a_settled_request_becomes_an_event_with_every_share() -> None:
    request = a_deletion_request("media", "billing", bot_id=BOT_ID)
    job = str(ObjectId())
    settled = request.waived("media", Waiver("ann", "shut down"), START)
    settled = settled.completed("billing", job, LATER)
    subject = completed(settled, LATER)
    shares = (CompletedShare("billing", job, LATER), CompletedShare("media", "", START))
    event = DeletionCompleted(request.id, request.placed_at, LATER, shares)
    assert subject == BotDeletionSubject(completion_id(request.id), LATER, BOT_ID, event)
    assert decode(encode(subject)) == subject


def test_a_request_that_is_owed_is_not_announced() -> None:
    request = a_deletion_request("media", "billing").completed("media", SHARE.job_id, START)
    with pytest.raises(ValueError, match="not settled"):
        completed(request, START)
    with pytest.raises(ValueError, match="billing owes"):
        completed(replace(request, settled_at=START), START)


def test_its_id_is_the_same_each_time_and_another_than_the_requests() -> None:
    """So whoever gets it twice can tell."""
    assert completion_id(EVENT_ID) == completion_id(EVENT_ID.upper()) != EVENT_ID
    assert completion_id(str(uuid4())) != completion_id(EVENT_ID)


def test_its_attributes_say_what_it_is() -> None:
    assert attributes(SUBJECT) == {
        "event_type": "EVENT_TYPE_DELETION_COMPLETED",
        "bot_id": BOT_ID,
        "event_id": completion_id(EVENT_ID),
        "version": "1",
    }


def test_nobody_runs_a_completion_as_a_request() -> None:
    assert requested(PLACED) == PLACED.event
    with pytest.raises(InvalidEvent, match="EVENT_TYPE_REQUEST_PLACED") as caught:
        requested(SUBJECT)
    assert caught.value.field == "event_type"


names = st.from_regex(r"[a-z][a-z0-9-]{2,62}", fullmatch=True).filter(
    lambda name: name not in RESERVED_SERVICES
)
jobs = st.one_of(st.just(""), st.binary(min_size=12, max_size=12).map(bytes.hex))


@given(st.dictionaries(names, jobs, min_size=1, max_size=20))
def test_every_completion_reads_back_as_it_was_written(services: dict[str, str]) -> None:
    shares = tuple(CompletedShare(name, job, NOW) for name, job in sorted(services.items()))
    subject = replace(SUBJECT, event=replace(COMPLETED, services=shares))
    assert decode(encode(subject)) == subject


def test_the_largest_completion_can_be_read() -> None:
    shares = tuple(
        CompletedShare(f"{number:03}".rjust(63, "a"), str(ObjectId()), NOW)
        for number in range(MOST_COMPLETED)
    )
    subject = replace(SUBJECT, event=replace(COMPLETED, services=shares))
    assert len(encode(subject)) < MAX_EVENT_BYTES
    assert decode(encode(subject)) == subject
    with pytest.raises(InvalidEvent, match="services"):
        replace(COMPLETED, services=(*shares, replace(SHARE, service="b" * 63)))


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "an id that is none": ("request_id", {"request_id": BOT_ID}),
    "a time without a zone": ("placed_at", {"placed_at": NOW.replace(tzinfo=None)}),
    "an end without a zone": ("settled_at", {"settled_at": NOW.replace(tzinfo=None)}),
    "no service": ("services", {"services": ()}),
    "a service twice": ("services", {"services": (SHARE, SHARE)}),
    "services out of order": ("services", {"services": COMPLETED.services[::-1]}),
}


@pytest.mark.parametrize(("field", "values"), WRONG.values(), ids=list(WRONG))
def test_a_completion_that_breaks_a_rule_cannot_be_made(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as caught:
        replace(COMPLETED, **values)
    assert caught.value.field == field


WRONG_SHARE: list[dict[str, Any]] = [
    {"service": "A service"},
    {"service": ""},
    {"job_id": "none"},
    {"settled_at": NOW.replace(tzinfo=None)},
]


@pytest.mark.parametrize("values", WRONG_SHARE, ids=str)
def test_a_share_that_breaks_a_rule_cannot_be_made(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent, match="services"):
        replace(SHARE, **values)


def refused(found: pb.BotDeletionSubject) -> str:
    """The field that the codec names when it refuses the message."""
    with pytest.raises(InvalidEvent) as caught:
        decode(found.SerializeToString())
    return caught.value.field


def test_what_is_missing_in_the_bytes_is_named() -> None:
    whole, ended, placed, share = (message(SUBJECT) for _ in range(4))
    whole.ClearField("deletion_completed")
    assert refused(whole) == "deletion_completed"
    placed.deletion_completed.ClearField("placed_at")
    assert refused(placed) == "placed_at"
    ended.deletion_completed.ClearField("settled_at")
    assert refused(ended) == "settled_at"
    share.deletion_completed.services[0].ClearField("settled_at")
    assert refused(share) == "services"
    assert refused(message(SUBJECT, event_id="none")) == "event_id"
    assert refused(message(SUBJECT, bot_id="")) == "bot_id"


def test_ids_are_read_in_lower_case() -> None:
    found = message(SUBJECT)
    found.deletion_completed.request_id = EVENT_ID.upper()
    found.deletion_completed.services[0].job_id = SHARE.job_id.upper()
    assert decode(found.SerializeToString()) == SUBJECT


def test_times_are_kept_to_the_microsecond() -> None:
    later = replace(SHARE, settled_at=NOW + timedelta(microseconds=1))
    subject = replace(SUBJECT, event=replace(COMPLETED, services=(later,)))
    assert decode(encode(subject)) == subject
