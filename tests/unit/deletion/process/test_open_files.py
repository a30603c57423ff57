"""A process may open as many files as its system allows, whatever it was started with."""

import resource

import pytest

from deletion.process.open_files import ENOUGH, raise_limit
from tests.support.commands import python


def limits_after(soft: int, hard: int) -> str:
    """What a process that starts with these limits has after it has raised them."""
    run = python(
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from deletion.process.open_files import raise_limit; raise_limit()\n"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (256, 1024, "1024 1024"),
        (1024, 1024, "1024 1024"),
    ],
)
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int, after: str) -> None:
    assert limits_after(soft, hard) == after


@pytest.mark.parametrize("hard", [ENOUGH + 1, 1 << 30, resource.RLIM_INFINITY])
def test_it_becomes_no_more_than_enough_because_some_systems_refuse_that(
    monkeypatch: pytest.MonkeyPatch, hard: int
) -> None:
    limits: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    raise_limit()
    assert limits == [(ENOUGH, hard)]


def test_a_serving_process_raises_it() -> None:
    run = python(
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))\n"
        "from deletion.process.run import serve\n"
        "async def work(): print(*resource.getrlimit(resource.RLIMIT_NOFILE), flush=True)\n"
        "serve(work())"
    )
    assert (run.stdout.strip(), run.returncode) == ("1024 1024", 0)
