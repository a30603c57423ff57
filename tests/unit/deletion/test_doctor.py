"""What is kept of a run of `botdel doctor` is bounded."""

from deletion.doctor import MAX_CHARACTERS, MAX_FINDINGS, Examination, Finding, Verdict
from tests.support.clock import START


def test_a_run_is_kept_as_it_is() -> None:
    findings = [
        Finding("breakers", Verdict.OK, "no breaker is open"),
        Finding("canary", Verdict.FAILED, "was not recorded", "start recovery"),
    ]
    kept = Examination.of(findings, START, "host-1")
    assert kept == Examination(START, "host-1", tuple(findings), 0)


def test_of_too_many_findings_the_worst_are_kept_in_their_order() -> None:
    well = [Finding(f"well {n}", Verdict.OK, "") for n in range(MAX_FINDINGS)]
    worse = [Finding(f"bad {each}", each, "") for each in (Verdict.WARNING, Verdict.FAILED)]
    kept = Examination.of([*well, *worse], START, "host-1")
    assert kept.left_out == 2
    assert kept.findings == (*well[: MAX_FINDINGS - 2], *worse)


def test_texts_are_cut_and_can_always_be_stored() -> None:
    text = "\ud800" + "é" * MAX_CHARACTERS
    [finding] = Examination.of([Finding(text, Verdict.OK, text, text)], START, "host-1").findings
    for kept in (finding.check, finding.detail, finding.remedy):
        assert len(kept) == MAX_CHARACTERS
        assert kept.startswith("\\ud800é")
        assert kept.endswith("é…")
        kept.encode()
