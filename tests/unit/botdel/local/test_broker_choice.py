"""Which broker runs on this machine, and what one reads of it."""

from pathlib import Path

import pytest

from botdel.local import emulator
from botdel.local.broker_choice import EMBEDDED, GOOGLE, brokers, choose_broker, why_left_out
from botdel.local.embedded_broker import EmbeddedBroker
from botdel.local.emulator import PubSubEmulator
from deletion.errors import ConfigurationError
from tests import conftest
from tests.support.brokers import chosen, described, of_broker_tests

WANTED = "BOTDEL_LOCAL_BROKER"


@pytest.fixture(autouse=True)
def nobody_wants_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WANTED, raising=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "find_emulator", lambda: Path("emulator.jar"))
    monkeypatch.setattr(emulator, "find_java", lambda: Path("java"))


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def find() -> Path:
        raise ConfigurationError("Google's emulator (v. 0.8) is missing", "take it:\n  here")

    monkeypatch.setattr(emulator, "find_emulator", find)


@pytest.mark.usefixtures("installed")
def test_googles_emulator_comes_first_where_it_is_found() -> None:
    found = choose_broker()
    assert isinstance(found.broker, PubSubEmulator)
    assert str(found) == "Google's Pub/Sub emulator (it and Java are installed)"
    assert brokers() == [GOOGLE, EMBEDDED]
    assert described(each=False) == (
        "broker: Google's Pub/Sub emulator (it and Java are installed); "
        "tests run over google, tests of brokers over embedded"
    )


@pytest.mark.usefixtures("missing")
def test_without_it_the_embedded_broker_runs_and_says_why() -> None:
    found = choose_broker()
    assert isinstance(found.broker, EmbeddedBroker)
    assert str(found) == (
        "the embedded broker, for development only (Google's emulator (v. 0.8) is missing)"
    )
    assert brokers() == [EMBEDDED]
    assert why_left_out(GOOGLE) == (
        "Google's emulator (v. 0.8) is missing; apt-get install "
        "google-cloud-cli-pubsub-emulator openjdk-17-jre-headless, or see README.md"
    )


@pytest.mark.usefixtures("installed")
def test_the_one_that_is_wanted_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WANTED, EMBEDDED)
    found = choose_broker()
    assert isinstance(found.broker, EmbeddedBroker)
    assert found.why == "BOTDEL_LOCAL_BROKER=embedded"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", [GOOGLE, EMBEDDED])
def test_a_suite_over_both_runs_over_the_wanted_one_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(WANTED, name)
    assert brokers() == [name]
    [other] = {GOOGLE, EMBEDDED} - {name}
    assert why_left_out(other) == f"not over {other}, because BOTDEL_LOCAL_BROKER={name}"


@pytest.mark.usefixtures("missing")
def test_what_is_wanted_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WANTED, GOOGLE)
    with pytest.raises(ConfigurationError) as refused:
        choose_broker()
    assert str(refused.value) == (
        "BOTDEL_LOCAL_BROKER=google: Google's emulator (v. 0.8) is missing; "
        "unset BOTDEL_LOCAL_BROKER, or set it to embedded, which needs neither the emulator nor "
        "Java; take it:\n  here"
    )


@pytest.mark.usefixtures("installed")
def test_a_test_runs_over_one_broker_and_with_the_option_over_each() -> None:
    assert (chosen(each=False), of_broker_tests(each=False)) == ([GOOGLE], [EMBEDDED])
    assert chosen(each=True) == of_broker_tests(each=True) == [GOOGLE, EMBEDDED]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("each", [True, False])
@pytest.mark.parametrize("name", [GOOGLE, EMBEDDED])
def test_every_test_runs_over_the_wanted_broker(
    monkeypatch: pytest.MonkeyPatch, name: str, each: bool
) -> None:
    monkeypatch.setenv(WANTED, name)
    assert chosen(each=each) == of_broker_tests(each=each) == [name]


@pytest.mark.usefixtures("missing")
def test_a_run_over_each_broker_says_which_one_is_missing() -> None:
    assert described(each=True).endswith(
        f"; tests run over embedded, tests of brokers over embedded; {why_left_out(GOOGLE)}"
    )


def test_a_broker_that_nobody_knows_is_an_error(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setenv(WANTED, "kafka")
    with pytest.raises(ConfigurationError, match=WANTED):
        choose_broker()
    with pytest.raises(ConfigurationError, match=WANTED):
        brokers()
    with pytest.raises(pytest.UsageError, match=WANTED):
        conftest.pytest_report_header(pytestconfig)


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("keeps", [True, False])
def test_the_embedded_one_keeps_what_it_confirmed_where_it_has_a_folder(
    tmp_path: Path, keeps: bool
) -> None:
    assert choose_broker(folder=tmp_path if keeps else None).broker.keeps is keeps
