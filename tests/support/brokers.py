"""Which brokers a test runs over: the one rule of all suites.

A test of the pipeline that asks for `broker_name` runs over the broker that is chosen, as a
person's commands do. A test of a broker's own behaviour asks for `tested_broker` and runs over the
embedded one, which is this project's code. With `--each-broker`, as in continuous integration, both
run over each that is installed; with BOTDEL_LOCAL_BROKER, over the named one. What asks for neither
runs over the chosen one.
"""

from typing import Final

import pytest

from botdel.local.broker_choice import EMBEDDED, GOOGLE, brokers, choose_broker, why_left_out

OPTION: Final = "--each-broker"


def chosen(*, each: bool) -> list[str]:
    """The brokers of the tests of the pipeline."""
    return brokers() if each else brokers()[:1]


def of_broker_tests(*, each: bool) -> list[str]:
    """The brokers of the tests of a broker."""
    names = brokers()
    return [EMBEDDED] if EMBEDDED in names and not each else names


def described(*, each: bool) -> str:
    """Return one line: the chosen broker, why it was chosen, and what the tests run over.

    Raises `ConfigurationError` if BOTDEL_LOCAL_BROKER names none that is installed.
    """
    over = (
        f"tests run over {' and '.join(chosen(each=each))}, "
        f"tests of brokers over {' and '.join(of_broker_tests(each=each))}"
    )
    left_out = [why for name in (GOOGLE, EMBEDDED) if (why := why_left_out(name))] if each else []
    return "; ".join([f"broker: {choose_broker()}", over, *left_out])


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a broker's name each one it runs over.

    Not by `params` of a fixture: with those a wrong setting would fail an import, with a traceback.
    """
    each = metafunc.config.getoption(OPTION)
    for fixture, names in (("broker_name", chosen), ("tested_broker", of_broker_tests)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names(each=each), scope="session")
