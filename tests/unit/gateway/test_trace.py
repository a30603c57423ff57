"""Which trace an event belongs to (W3C Trace Context)."""

import os

import pytest

from gateway.trace import continued

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ONES = "01" * 16


def ones(count: int) -> bytes:
    return b"\x01" * count


FRESH = f"00-{ONES}-{ONES[:16]}-03"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{ONES[:16]}-00"),
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{ONES[:16]}-01"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{ONES[:16]}-03"),
        (f"cc-{TRACE}-{SPAN}-01", f"00-{TRACE}-{ONES[:16]}-01"),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", f"00-{TRACE}-{ONES[:16]}-01"),
    ],
)
def test_the_trace_is_kept_and_the_span_is_new(given: str, expected: str) -> None:
    assert continued(given, ones) == expected


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_a_header_that_breaks_the_format_is_as_good_as_none(given: str | None) -> None:
    assert continued(given, ones) == FRESH


def test_fresh_traces_differ() -> None:
    assert len({continued(None, os.urandom) for _ in range(10)}) == 10
