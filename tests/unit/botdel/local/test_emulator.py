"""Where the emulator and Java are looked for, and what one reads when they are not there."""

from pathlib import Path

import pytest

from botdel.local import emulator
from botdel.local.database import find_program
from botdel.local.emulator import find_emulator, find_java
from deletion.errors import ConfigurationError


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is installed, nothing is set."""
    monkeypatch.setattr(emulator, "USUAL_ROOTS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.delenv("CLOUDSDK_ROOT", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)


def sdk(root: Path, *versions: str) -> list[Path]:
    """A Google Cloud SDK with these versions of the emulator, in their order."""
    lib = root / "platform/pubsub-emulator/lib"
    lib.mkdir(parents=True)
    jars = [lib / f"cloud-pubsub-emulator-{version}-all.jar" for version in versions]
    for jar in jars:
        jar.touch()
    return jars


def program(path: Path, script: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java(path: Path, version: str) -> Path:
    return program(path, f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


def test_the_emulator_is_found_below_the_root_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [jar] = sdk(tmp_path / "chosen", "0.8.20")
    sdk(tmp_path / "usual", "0.9.0")
    monkeypatch.setattr(emulator, "USUAL_ROOTS", (tmp_path / "usual",))
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path / "chosen"))

    assert find_emulator() == jar


def test_a_root_that_is_set_but_has_no_emulator_is_not_passed_over_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk(tmp_path / "usual", "0.8.20")
    monkeypatch.setattr(emulator, "USUAL_ROOTS", (tmp_path / "usual",))
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path / "chosen"))

    with pytest.raises(ConfigurationError, match=str(tmp_path / "chosen")):
        find_emulator()


def test_the_emulator_is_found_beside_gcloud_through_its_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [jar] = sdk(tmp_path / "sdk", "0.8.20")
    gcloud = program(tmp_path / "sdk/bin/gcloud")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gcloud").symlink_to(gcloud)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find_emulator() == jar


def test_a_usual_place_is_looked_at_when_gcloud_has_no_emulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "sdk/bin/gcloud")
    [jar] = sdk(tmp_path / "usual", "0.8.20")
    monkeypatch.setenv("PATH", str(tmp_path / "sdk/bin"))
    monkeypatch.setattr(emulator, "USUAL_ROOTS", (tmp_path / "none", tmp_path / "usual"))

    assert find_emulator() == jar


def test_the_newest_of_several_emulators_is_taken_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, _ = sdk(tmp_path, "0.8.20", "0.8.9")
    monkeypatch.setenv("CLOUDSDK_ROOT", str(tmp_path))

    assert find_emulator() == newest


@pytest.mark.parametrize(
    "told",
    [
        "google-cloud-cli-pubsub-emulator",
        "apt-get install google-cloud-cli-pubsub-emulator openjdk-17-jre-headless",
        "gcloud components install pubsub-emulator",
        "brew install",
        "CLOUDSDK_ROOT",
    ],
)
def test_without_an_emulator_one_is_told_what_to_install(told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        find_emulator()

    assert told in str(refused.value)


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = java(tmp_path / "home/bin/java", "21.0.2")
    java(tmp_path / "bin/java", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    assert find_java() == chosen


@pytest.mark.parametrize("version", ["17", "17.0.15", "21-ea", "25.0.1"])
def test_java_is_taken_from_17_on(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = java(tmp_path / "java", version)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_java() == found


@pytest.mark.parametrize(
    ("version", "told"),
    [("1.8.0_402", "is Java 8"), ("11.0.22", "is Java 11"), ("?", "no working Java")],
)
def test_an_older_or_broken_java_is_refused(
    version: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    java(tmp_path / "java", version)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigurationError, match=rf"(?s){told}.*openjdk-17-jre-headless"):
        find_java()


def test_without_java_one_is_told_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="apt-get install openjdk-17-jre-headless"):
        find_java()


def test_without_the_database_one_is_told_which_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))

    with pytest.raises(ConfigurationError, match=r"bot-deletion-pipeline\[local\]"):
        find_program()
