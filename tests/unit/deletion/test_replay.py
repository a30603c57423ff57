"""A replay is the message that was given up, for the one service it came from."""

import pytest

from deletion.dead_letter import RECORD_ATTRIBUTE, DeadLetter, DeadLetterStatus
from deletion.events import decode, encode
from deletion.replay import MAX_ATTRIBUTES, MAX_MESSAGE_BYTES, refusal, replay_message
from tests.schema.samples import SAMPLES
from tests.support.factories import a_letter, replay

EVENT = SAMPLES["request_placed"]


@pytest.mark.proves("replay")
def test_bytes_and_attributes_stay_and_the_service_and_the_record_are_named() -> None:
    attributes = {"event_id": EVENT.event_id, "traceparent": "00-1-2-01", "colour": "green"}
    letter = a_letter(data=encode(EVENT), attributes=attributes)
    message = replay_message(letter)
    assert decode(message.data) == EVENT, "the event keeps its id"
    assert message.attributes == {
        **attributes,
        "service": "conversations",
        RECORD_ATTRIBUTE: letter.id,
    }


def test_it_goes_to_the_service_that_gave_it_up_whatever_it_says_itself() -> None:
    letter = a_letter(attributes={"service": "elsewhere", RECORD_ATTRIBUTE: "another"})
    attributes = replay_message(letter).attributes
    assert (attributes["service"], attributes[RECORD_ATTRIBUTE]) == ("conversations", letter.id)


def test_what_pub_sub_added_on_the_way_is_left_out() -> None:
    source = "CloudPubSubDeadLetterSource"
    letter = a_letter(
        attributes={
            f"{source}Subscription": "s",
            f"{source}DeliveryCount": "5",
            "googclient_schemaencoding": "BINARY",
            "kept": "yes",
        }
    )
    assert set(replay_message(letter).attributes) == {"kept", "service", RECORD_ATTRIBUTE}


def test_a_replay_that_comes_back_is_told_to_be_one() -> None:
    letter = a_letter()
    message = replay_message(letter)
    back = a_letter(data=message.data, attributes=message.attributes)
    assert back.is_replay_of(letter)


def refused(letter: DeadLetter, *, force: bool = False) -> str:
    why = refusal(letter, force=force)
    assert why
    return why


def test_a_new_letter_may_be_replayed() -> None:
    assert refusal(a_letter(), force=False) is None


@pytest.mark.parametrize("status", [DeadLetterStatus.REPLAYED, DeadLetterStatus.DISCARDED], ids=str)
def test_what_is_dealt_with_is_replayed_by_force_only(status: DeadLetterStatus) -> None:
    letter = a_letter(status=status)
    assert refused(letter) == f"it is {status} already; use --force to replay it anyway"
    assert refusal(letter, force=True) is None


def test_what_came_back_dead_is_replayed_by_force_only() -> None:
    letter = a_letter()
    returned = letter.came_back(replay(letter))
    assert returned.status is DeadLetterStatus.NEW
    assert "came back dead" in refused(returned)
    assert "--force" in refused(returned)
    assert refusal(returned, force=True) is None


@pytest.mark.parametrize("service", ["", "dead-letter", "No Service", "x"])
def test_what_does_not_say_its_service_is_never_replayed(service: str) -> None:
    """Without the attribute it would go to every service."""
    assert "which service" in refused(a_letter(service=service), force=True)


def test_a_canary_is_never_replayed() -> None:
    assert "canary" in refused(a_letter(service="doctor.6af2"), force=True)


def test_what_pub_sub_would_not_take_again_is_never_replayed() -> None:
    many = {f"name{number}": "" for number in range(MAX_ATTRIBUTES - 1)}
    for letter in (a_letter(data=b"x" * MAX_MESSAGE_BYTES), a_letter(attributes=many)):
        assert "larger than Pub/Sub allows" in refused(letter, force=True)
    many.popitem()
    assert refusal(a_letter(attributes=many), force=False) is None
