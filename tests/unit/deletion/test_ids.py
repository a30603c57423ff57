"""Ids have one form, whoever asks."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deletion.ids import (
    OBJECT_ID_PATTERN,
    PLANNED_SERVICE_PATTERN,
    RESERVED_SERVICES,
    SERVICE_PATTERN,
    UUID_PATTERN,
    is_object_id,
    is_service_name,
    is_uuid,
    may_have_plan,
)

OBJECT_ID = "65f0a1b2c3d4e5f607182930"
EVENT_ID = "018f3c1e-7a4b-7c2d-9e5f-0a1b2c3d4e5f"


@given(st.binary(min_size=12, max_size=12))
def test_any_twelve_bytes_in_hex_are_an_object_id_in_either_case(raw: bytes) -> None:
    assert is_object_id(raw.hex())
    assert is_object_id(raw.hex().upper())


@given(st.binary(max_size=24).filter(lambda raw: len(raw) != 12))
def test_an_object_id_has_twelve_bytes(raw: bytes) -> None:
    assert not is_object_id(raw.hex())


@given(st.uuids())
def test_any_uuid_in_its_canonical_form_is_one_in_either_case(uuid: UUID) -> None:
    assert is_uuid(str(uuid))
    assert is_uuid(str(uuid).upper())


@given(st.uuids())
def test_other_spellings_of_a_uuid_are_not_canonical(uuid: UUID) -> None:
    assert not is_uuid(uuid.hex)
    assert not is_uuid(uuid.urn)
    assert not is_uuid(f"{{{uuid}}}")


DISGUISES: dict[str, Callable[[str], str]] = {
    "a newline after it": lambda text: text + "\n",
    "a newline before it": lambda text: "\n" + text,
    "a NUL after it": lambda text: text + "\0",
    "spaces around it": lambda text: f" {text} ",
    "a second line": lambda text: f"{text}\n{text}",
    "digits of another script": lambda text: text[:-1] + "\N{ARABIC-INDIC DIGIT ONE}",
    "a fullwidth letter": lambda text: text[:-1] + "\N{FULLWIDTH LATIN SMALL LETTER A}",
    "a letter beyond f": lambda text: text[:-1] + "g",
    "nothing at all": lambda text: "",
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_no_id_comes_with(disguise: str) -> None:
    assert not is_object_id(DISGUISES[disguise](OBJECT_ID))
    assert not is_uuid(DISGUISES[disguise](EVENT_ID))
    if disguise != "a letter beyond f":
        assert not is_service_name(DISGUISES[disguise]("conversations"))


@given(st.from_regex(SERVICE_PATTERN.replace("$", r"\Z")))
def test_a_service_is_named_as_its_pattern_says(name: str) -> None:
    assert is_service_name(name) == (name not in RESERVED_SERVICES)


@pytest.mark.parametrize("name", ["abc", "a-1", "conversations", "a" * 63])
def test_a_service_may_be_called(name: str) -> None:
    assert is_service_name(name)


@pytest.mark.parametrize(
    "name", ["ab", "1ab", "-ab", "Abc", "abC", "a_b", "a.b", 'a"b', "a b", "a" * 64]
)
def test_a_service_may_not_be_called(name: str) -> None:
    assert not is_service_name(name)


@pytest.mark.parametrize("name", ["abc", "a-1", "a" * 63, "a--b"])
def test_a_plan_may_be_for(name: str) -> None:
    assert may_have_plan(name)


@pytest.mark.parametrize("name", ["ab-", f"{'a' * 62}-", "ledger", "ab", "a" * 64, "-ab", "abc\n"])
def test_a_plan_may_not_be_for(name: str) -> None:
    assert not may_have_plan(name)


def test_what_is_recorded_under_a_name_with_a_hyphen_at_its_end_is_still_read() -> None:
    assert is_service_name("chat-")


@pytest.mark.parametrize("name", ["dead-letter", "doctor", "ledger"])
def test_a_name_that_the_pipeline_needs_itself_is_taken(name: str) -> None:
    assert not is_service_name(name)
    assert is_service_name(f"{name}s")


@pytest.mark.parametrize(
    "pattern", [OBJECT_ID_PATTERN, UUID_PATTERN, SERVICE_PATTERN, PLANNED_SERVICE_PATTERN]
)
def test_patterns_are_anchored_for_those_who_only_search(pattern: str) -> None:
    assert (pattern[0], pattern[-1]) == ("^", "$")
