"""A process that cannot listen says which setting to change; one that serves keeps its start."""

import errno
import gc
import socket

import pytest
from fastapi import FastAPI

from deletion.process.garbage import YOUNG
from deletion.process.serving import serving


async def test_a_port_that_is_taken_names_the_setting_to_change() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use; set") as refused:
            async with serving(FastAPI(), "127.0.0.1", port, name="gateway", grace=1):
                pass
    assert refused.value.errno == errno.EADDRINUSE
    assert f"127.0.0.1, port {port}" in str(refused.value)
    assert "set BOTDEL_GATEWAY_PORT or --port" in str(refused.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
async def test_an_address_that_is_not_ours_names_the_setting_to_change(host: str) -> None:
    with pytest.raises(OSError, match="set BOTDEL_RECOVERY_HOST or --host"):
        async with serving(FastAPI(), host, 0, name="recovery", grace=1):
            pass


async def test_while_it_serves_the_collector_does_not_look_at_what_its_start_made() -> None:
    gc.unfreeze()  # the tests have frozen what they imported: tests/conftest.py
    before = gc.get_threshold()
    async with serving(FastAPI(), "127.0.0.1", 0, name="gateway", grace=1):
        assert gc.get_freeze_count() > len(gc.get_objects())
        assert gc.get_threshold()[0] == YOUNG
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
