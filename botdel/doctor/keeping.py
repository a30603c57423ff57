"""Keeps what was found, so that the console can show it."""

import socket
from collections.abc import Sequence
from typing import Final

from botdel.doctor.findings import guarded, warning
from deletion.clock import Clock
from deletion.doctor import Examination, ExaminationStore, Finding

CHECK: Final = "result of this run"


async def kept(
    findings: Sequence[Finding], results: ExaminationStore, clock: Clock
) -> Sequence[Finding]:
    """Keep the findings as those of this host. Returns a warning if that cannot be done: whatever
    was checked is right or wrong all the same.
    """

    async def keep() -> Sequence[Finding]:
        await results.keep(Examination.of(findings, clock.now(), socket.gethostname()))
        return []

    return [_as_warning(finding) for finding in await guarded(CHECK, keep())]


def _as_warning(fault: Finding) -> Finding:
    detail = f"the console shows an earlier one, because this one was not written: {fault.detail}"
    return warning(fault.check, detail, fault.remedy)
