"""Source files are neither too long nor too short, and no two names are easily confused."""

from itertools import combinations
from pathlib import Path

import pytest

from tests.support.paths import ROOT, sources

LONGEST, SHORTEST = 300, 15
"""Lines of a file. A package's `__init__` may be short."""
LONG = {
    "botdel/local/broker/journal.py": "what stands on disk, beside how it is read back",
    "botdel/local/broker/subscription.py": "leases, deadlines and order keep one another true",
}
"""Longer files, each with why it is read as a whole."""
NAMED_AS_FOLDER = {
    "botdel/local/broker/broker.py": "the broker itself, which the others in its folder serve",
}
SOURCES = {
    path.relative_to(ROOT).as_posix(): path for path in sources() if "generated" not in path.parts
}


def lines_of(file: str) -> int:
    return len(SOURCES[file].read_text(encoding="utf-8").splitlines())


def is_one_letter_off(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    if len(short) == len(long):
        return sum(a != b for a, b in zip(short, long, strict=True)) <= 1
    return any(long[:n] + long[n + 1 :] == short for n in range(len(long)))


def modules_by_folder() -> dict[Path, list[str]]:
    """The modules and packages in each folder, by name."""
    modules: dict[Path, list[str]] = {}
    for path in SOURCES.values():
        inside = path.parent if path.stem == "__init__" else path
        modules.setdefault(inside.parent, []).append(inside.stem)
    return modules


def test_no_file_is_too_long() -> None:
    assert [file for file in SOURCES.keys() - LONG.keys() if lines_of(file) > LONGEST] == []


@pytest.mark.parametrize("file", LONG)
def test_a_longer_file_is_still_there_and_still_longer(file: str) -> None:
    assert lines_of(file) > LONGEST


def test_a_file_is_long_enough_to_be_worth_opening() -> None:
    short = [file for file in SOURCES if lines_of(file) < SHORTEST]
    assert [file for file in short if not file.endswith("__init__.py")] == []


def test_no_file_repeats_the_name_of_its_folder() -> None:
    files = [Path(file) for file in SOURCES.keys() - NAMED_AS_FOLDER.keys()]
    assert [file for file in files if is_one_letter_off(file.stem, file.parent.name)] == []


def test_no_two_modules_of_a_folder_are_one_letter_apart() -> None:
    for folder, names in modules_by_folder().items():
        pairs = [pair for pair in combinations(names, 2) if is_one_letter_off(*pair)]
        assert not pairs, folder


@pytest.mark.parametrize(
    ("one", "other", "close"),
    [
        ("sweep", "sweeps", True),
        ("pace", "pacer", True),
        ("claim", "clamp", False),
        ("letter", "latter", True),
        ("job", "job", True),
        ("retry", "replay", False),
    ],
)
def test_one_letter_more_less_or_other_is_close(one: str, other: str, close: bool) -> None:
    assert is_one_letter_off(one, other) is close
