"""What the clients of one process may have under way: threads, and connections to each server."""

import pytest
from motor.frameworks import asyncio as framework

from deletion.adapters.mongo.connection import Client, Clients
from deletion.adapters.mongo.driver import calls_of, reserve_threads
from deletion.errors import ConfigurationError
from tests.support.commands import python

JOBS, DATA = "mongodb://jobs.invalid/", "mongodb://data.invalid/?maxPoolSize=500&minPoolSize=9"


@pytest.mark.proves("hung-data-server")
@pytest.mark.parametrize("runs", [1, 9, 1001])
def test_a_setting_that_leaves_no_thread_for_a_call_is_refused_by_its_name(runs: int) -> None:
    needed = calls_of(runs)
    with pytest.raises(ConfigurationError, match=f"MOTOR_MAX_WORKERS: expected at least {needed}"):
        reserve_threads(runs, {"MOTOR_MAX_WORKERS": str(needed - 1)})
    reserve_threads(runs, {"MOTOR_MAX_WORKERS": str(needed)})


def test_there_are_threads_for_two_calls_of_each_run_and_for_what_has_no_run() -> None:
    reserve_threads(40, {})
    assert framework.max_workers >= 2 * 40 + 8
    assert framework._EXECUTOR._max_workers >= 2 * 40 + 8
    before = framework._EXECUTOR
    reserve_threads(1, {})
    assert framework._EXECUTOR is before, "a pool is never made smaller, nor anew for nothing"


def test_clients_for_runs_reserve_their_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTOR_MAX_WORKERS", "12")
    Clients(JOBS, runs=2)
    Clients(JOBS), "a command has no runs, and any pool will do"
    with pytest.raises(ConfigurationError, match="MOTOR_MAX_WORKERS"):
        Clients(JOBS, runs=3)


@pytest.mark.parametrize("value", ["many", "0", "-3"])
def test_a_setting_that_is_no_number_is_refused_by_its_name(value: str) -> None:
    done = python(
        "import os\n"
        f"os.environ['MOTOR_MAX_WORKERS'] = {value!r}\n"
        "from deletion.errors import ConfigurationError\n"
        "try: import deletion.adapters.mongo.connection\n"
        "except ConfigurationError as error: print(error)"
    )
    assert done.stdout.startswith("MOTOR_MAX_WORKERS: expected a whole number"), done.stderr


def bounds(client: Client) -> tuple[int | None, int, float | None]:
    options = client.delegate.options.pool_options
    return options.max_pool_size, options.min_pool_size, options.max_idle_time_seconds


def test_connections_are_bounded_by_what_can_be_under_way_and_end_when_idle() -> None:
    clients = Clients(JOBS, runs=9)
    try:
        assert bounds(clients.get()) == (2 * 9 + 8, 0, 60)
        assert bounds(clients.get(DATA)) == (9, 0, 60), "one call of each run, whatever it says"
    finally:
        clients.close()


def test_a_command_has_connections_to_a_data_server_too() -> None:
    clients = Clients(JOBS)
    try:
        assert bounds(clients.get(DATA)) == (8, 0, 60)
    finally:
        clients.close()


def test_there_is_one_client_for_each_uri() -> None:
    clients = Clients(JOBS)
    try:
        assert clients.get() is clients.get(JOBS)
        assert clients.get(DATA) is clients.get(DATA)
        assert clients.get(DATA) is not clients.get()
    finally:
        clients.close()
