"""The filter grammar: https://cloud.google.com/pubsub/docs/subscription-message-filter"""

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from botdel.local.broker.filters import parse
from botdel.local.broker.refusals import Refused

COM = {"domain": "com", "language": "en"}


@pytest.mark.proves("broker-as-documented")
@pytest.mark.parametrize(
    ("text", "attributes", "matches"),
    [
        ("", {}, True),
        ("attributes:domain", COM, True),
        ("attributes:domain", {"domain": ""}, True),
        ("attributes:domain", {"Domain": "com"}, False),
        ('attributes.domain = "com"', COM, True),
        ('attributes.domain = "com"', {"domain": "Com"}, False),
        ('attributes.domain = "com"', {}, False),
        ('attributes.domain != "com"', COM, False),
        ('attributes.domain != "com"', {"domain": "org"}, True),
        ('attributes.domain != "com"', {}, True),
        ('hasPrefix(attributes.domain, "co")', COM, True),
        ('hasPrefix(attributes.domain, "om")', COM, False),
        ('hasPrefix(attributes.domain, "")', {}, False),
        ("NOT attributes:domain", COM, False),
        ("NOT attributes:domain", {}, True),
        ("-attributes:domain", {}, True),
        ("NOT(attributes:domain)", {}, True),
        ('attributes:domain AND attributes.language = "en"', COM, True),
        ('attributes:domain AND attributes.language = "fr"', COM, False),
        ("attributes:a OR attributes:b OR attributes:domain", COM, True),
        ("attributes:a OR attributes:b", COM, False),
        ("NOT attributes:a AND attributes:domain", COM, True),
        ("NOT (attributes:a AND attributes:domain)", COM, True),
        ("attributes:a AND (attributes:b OR attributes:domain)", COM, False),
        ("attributes:domain AND (attributes:b OR NOT attributes:c)", COM, True),
        ("((attributes:domain))", COM, True),
        ('attributes."iana.org/language_tag" = "en"', {"iana.org/language_tag": "en"}, True),
        ('attributes:"iana.org/language_tag"', {"iana.org/language_tag": "en"}, True),
        ('attributes.ce-type="x"', {"ce-type": "x"}, True),
        ("attributes:NOT", {"NOT": ""}, True),
        ('attributes.a = "AND"', {"a": "AND"}, True),
        (r'attributes:"\u307F\u3093\u306A"', {"みんな": ""}, True),
        (r'attributes.a = "\x41\102\"\\\n"', {"a": 'AB"\\\n'}, True),
        (r'attributes.a = "\U0001F600"', {"a": "😀"}, True),
        ('NOT attributes:service OR attributes.service = "chat"', {"service": "chat"}, True),
        ('NOT attributes:service OR attributes.service = "chat"', {"service": "x"}, False),
        ('NOT attributes:service OR attributes.service = "chat"', {}, True),
    ],
)
def test_a_filter_matches(text: str, attributes: dict[str, str], matches: bool) -> None:
    assert parse(text)(attributes) is matches


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("attributes:a AND attributes:b OR attributes:c", 31, "parentheses"),
        ("attributes:a OR attributes:b AND attributes:c", 30, "parentheses"),
        ("attributes:a and attributes:b", 14, "AND, OR or the end"),
        ("attributes", 11, "':'|'.'"),
        ("attributes:", 12, "a key"),
        ("attributes.a", 13, "'!='"),
        ("attributes.a = com", 16, "a string in double quotes"),
        ("attributes.a = 'com'", 16, "not expected"),
        ('attributes.a > "b"', 14, "not expected"),
        ('hasSuffix(attributes.a, "b")', 1, "'attributes'"),
        ('hasPrefix(attributes.a "b")', 24, "','"),
        ("(attributes:a", 14, "')'"),
        ("attributes:a)", 13, "AND, OR or the end"),
        ("data:x", 1, "'attributes'"),
        ("NOT", 4, "'attributes'"),
        ("attributes:a AND", 17, "'attributes'"),
        ('attributes.a = "b', 16, "not expected"),
        (r'attributes.a = "\q"', 16, "escape"),
        (r'attributes.a = "\Uffffffff"', 16, "escape"),
    ],
)
def test_what_is_wrong_is_named_with_its_position(text: str, position: int, says: str) -> None:
    with pytest.raises(Refused, match=f"position {position}: ") as error:
        parse(text)
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert any(word in str(error.value) for word in says.split("|"))


def test_a_filter_has_256_bytes_at_most() -> None:
    text = 'attributes.a = "{}"'
    room = 256 - len(text.format(""))
    assert parse(text.format("x" * room))({"a": "x" * room})
    with pytest.raises(Refused, match="256 bytes"):
        parse(text.format("x" * (room + 1)))


@given(st.text(alphabet='attributes:.="NOTAND OR()-hasPrefix,\\x0', max_size=60))
def test_any_text_is_a_filter_or_is_refused(text: str) -> None:
    try:
        matches = parse(text)
    except Refused:
        return
    assert matches({"a": "b"}) in (True, False)


@given(key=st.text(min_size=1, max_size=20), value=st.text(max_size=20))
def test_any_key_and_value_can_be_quoted(key: str, value: str) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    assert parse(f"attributes.{quoted(key)} = {quoted(value)}")({key: value})
