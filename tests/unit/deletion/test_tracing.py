"""Spans: which one is current, which trace they belong to, and which are recorded."""

import asyncio

import pytest

from deletion.sampling import Sampling
from deletion.traceparent import Remote, parsed
from deletion.tracing import Kind, Tracer, current, muted
from tests.support.spans import Kept

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
UNSAMPLED = f"00-{TRACE}-{SPAN}-00"


def traced(sampling: Sampling | None = None) -> tuple[Tracer, Kept]:
    kept = Kept()
    return Tracer(kept, sampling), kept


async def test_a_span_is_current_in_its_block_and_its_tasks_and_recorded_at_its_end() -> None:
    tracer, kept = traced()

    async def child() -> None:
        with tracer.span("child"):
            await asyncio.sleep(0)

    with tracer.span("outer", Kind.SERVER, {"a": 1}) as outer:
        assert current() is outer
        await asyncio.gather(child(), child())
        assert current() is outer
    assert current() is None
    assert kept.names == ["child", "child", "outer"]
    assert {span.trace_id for span in kept.spans} == {outer.trace_id}
    assert [span.parent_id for span in kept.spans] == [outer.span_id, outer.span_id, None]
    assert len({span.span_id for span in kept.spans}) == 3
    assert all(span.began <= span.ended for span in kept.spans)
    assert outer.attributes == {"a": 1}


def test_an_error_is_kept_as_its_type_and_never_as_its_text() -> None:
    tracer, kept = traced()
    with pytest.raises(KeyError), tracer.span("outer"):
        raise KeyError("65f0a1b2c3d4e5f607182930")
    (span,) = kept.spans
    assert span.error == "KeyError"
    assert span.attributes == {"error.type": "KeyError"}


def test_what_was_noted_as_the_failure_stays() -> None:
    tracer, kept = traced()
    span = tracer.span("outer")
    span.failed("503")
    with pytest.raises(KeyError), span:
        raise KeyError
    assert kept.spans[0].error == "503"


def test_a_root_has_no_parent_in_this_process_and_names_its_links() -> None:
    tracer, _ = traced()
    with tracer.span("outer") as outer, tracer.root("root", links=[SAMPLED, "wrong", None]) as root:
        pass
    assert root.parent_id is None
    assert root.trace_id != outer.trace_id
    assert root.links == (SAMPLED,)


def test_a_root_continues_the_trace_of_a_parent_elsewhere() -> None:
    tracer, kept = traced()
    with tracer.root("root", parent=parsed(SAMPLED)) as root:
        assert root.traceparent == f"00-{TRACE}-{root.span_id}-01"
    assert (root.trace_id, root.parent_id) == (TRACE, SPAN)
    assert kept.names == ["root"]


def test_a_new_trace_says_that_its_id_is_random() -> None:
    tracer, _ = traced()
    with tracer.span("root") as root:
        assert parsed(root.traceparent) == Remote(root.trace_id, root.span_id, 0b11)


@pytest.mark.parametrize(
    ("links", "is_recorded"),
    [([UNSAMPLED], False), ([UNSAMPLED, SAMPLED], True), ([SAMPLED], True), ([], True)],
)
def test_a_group_is_recorded_if_one_of_its_messages_is(
    links: list[str | None], is_recorded: bool
) -> None:
    tracer, kept = traced()
    with tracer.root("group", links=links) as group:
        assert group.is_recorded is is_recorded
        assert int(group.traceparent[-2:], 16) & 1 == is_recorded
    assert bool(kept.spans) is is_recorded


def test_below_a_span_that_is_not_recorded_none_is() -> None:
    tracer, kept = traced()
    with tracer.root("outer", parent=parsed(UNSAMPLED)), tracer.span("child") as child:
        assert child.trace_id == TRACE
    assert kept.spans == []


def test_ids_are_new_and_none_is_zero() -> None:
    tracer, _ = traced()
    spans = [tracer.root("any") for _ in range(100)]
    assert len({span.span_id for span in spans} | {span.trace_id for span in spans}) == 200
    assert {(len(span.span_id), len(span.trace_id)) for span in spans} == {(16, 32)}
    assert Tracer(Kept(), random_bits=lambda _: 0).span("any").span_id == f"{1:016x}"


LOW, HIGH = f"{'f' * 16}{'0' * 16}", f"{'0' * 16}{'f' * 16}"


@pytest.mark.parametrize(
    ("sampling", "trace_id", "before", "is_sampled"),
    [
        (Sampling(), LOW, None, True),
        (Sampling(), LOW, False, False),
        (Sampling(0.0), LOW, None, False),
        (Sampling(0.0), LOW, True, True),
        (Sampling(0.5), LOW, None, True),
        (Sampling(0.5), HIGH, None, False),
        (Sampling(1.0, follows=False), LOW, False, True),
        (Sampling(0.0, follows=False), LOW, True, False),
    ],
)
def test_a_ratio_is_taken_by_the_trace_id_and_what_came_before_is_followed(
    sampling: Sampling, trace_id: str, before: bool | None, is_sampled: bool
) -> None:
    assert bool(sampling.flags(trace_id, before)) is is_sampled


def test_in_a_muted_block_nothing_is_recorded_but_the_span_is_named() -> None:
    tracer, kept = traced()
    with tracer.span("outer") as outer:
        with muted():
            inside = current()
            assert inside
            assert (inside.trace_id, inside.span_id) == (outer.trace_id, outer.span_id)
            assert not inside.is_recorded
            with tracer.span("child"):
                pass
        assert current() is outer
    assert kept.names == ["outer"]


def test_without_a_span_there_is_nothing_to_mute() -> None:
    with muted():
        assert current() is None
