"""Public keys of a signer: when they are fetched, how long they are used, and what is refused."""

import asyncio

import httpx
import pytest

from deletion.process.signing_keys import (
    AGAIN_SECONDS,
    FETCH_SECONDS,
    KEPT_SECONDS,
    MOST_KEY_BYTES,
    USED_SECONDS,
    KeysUnavailable,
    Published,
    SigningKeys,
    fetched,
)
from tests.support.api import Api, Reply
from tests.support.clock import VirtualClock
from tests.support.signing import SettableClock

in_virtual_time = pytest.mark.virtual_time


class Signer:
    """Publishes keys, fresh for an hour, unless it is away or hangs."""

    def __init__(self) -> None:
        self.keys = {"k1": "one"}
        self.fetches = 0
        self.is_away = False
        self.hangs = False
        self.clock = VirtualClock()
        self.known = SigningKeys("the signer", "", self.clock, self.fetch)

    async def fetch(self) -> Published:
        self.fetches += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise httpx.ConnectError("away")
        return Published(self.keys)

    async def later(self, seconds: float, key_id: str = "k1") -> dict[str, str]:
        """The keys after `seconds`, once what was begun in the background has ended."""
        self.clock.pause(seconds)
        keys = dict(await self.known.with_key(key_id))
        await asyncio.sleep(0.001)
        return keys


@in_virtual_time
async def test_fresh_keys_are_not_fetched_again_and_old_ones_are_in_the_background() -> None:
    signer = Signer()
    for _ in range(3):
        assert await signer.later(KEPT_SECONDS / 4) == {"k1": "one"}
    assert signer.fetches == 1
    signer.keys = {"k1": "two"}
    assert await signer.later(KEPT_SECONDS) == {"k1": "one"}, "nobody waits for a fetch"
    assert signer.fetches == 2
    assert await signer.later(0) == {"k1": "two"}


@in_virtual_time
@pytest.mark.proves("signed-tokens-bounded")
async def test_unknown_keys_cost_one_fetch_a_minute_however_many_are_sent() -> None:
    signer = Signer()
    await signer.later(0)
    for number in range(100):
        await signer.later(0, f"unknown-{number}")
    assert signer.fetches == 1
    for _ in range(3):
        signer.clock.pause(AGAIN_SECONDS)
        await asyncio.gather(*(signer.later(0, f"unknown-{number}") for number in range(100)))
    assert signer.fetches == 4


@in_virtual_time
async def test_a_new_key_is_found_without_waiting_for_the_old_ones_to_age() -> None:
    signer = Signer()
    await signer.later(0)
    signer.keys = {"k1": "one", "k2": "two"}
    assert "k2" in await signer.later(AGAIN_SECONDS, "k2")


@in_virtual_time
@pytest.mark.proves("signed-tokens-bounded")
async def test_a_host_that_hangs_delays_no_known_key_and_an_unknown_one_for_seconds() -> None:
    signer = Signer()
    await signer.later(0)
    signer.hangs = True
    signer.clock.pause(KEPT_SECONDS)
    began = signer.clock.monotonic()
    assert await signer.known.with_key("k1") == {"k1": "one"}
    assert signer.clock.monotonic() == began
    for _ in range(3):
        with pytest.raises(KeysUnavailable, match="the signer"):
            await signer.known.with_key("k2")
    assert signer.clock.monotonic() - began == pytest.approx(FETCH_SECONDS, abs=0.1)
    assert signer.fetches == 2


@in_virtual_time
async def test_a_client_that_hangs_up_ends_nobody_elses_fetch() -> None:
    signer = Signer()
    signer.hangs = True
    first = asyncio.create_task(signer.known.with_key("k1"))
    second = asyncio.create_task(signer.known.with_key("k1"))
    await asyncio.sleep(1)
    first.cancel()
    with pytest.raises(KeysUnavailable):
        await second
    assert signer.fetches == 1


@in_virtual_time
async def test_while_keys_cannot_be_fetched_old_ones_are_used_for_a_day() -> None:
    signer = Signer()
    signer.is_away = True
    for _ in range(2):
        with pytest.raises(KeysUnavailable):
            await signer.later(0)
    assert signer.fetches == 1, "each token would wait for those before it"
    signer.is_away = False
    assert await signer.later(AGAIN_SECONDS) == {"k1": "one"}
    signer.is_away = True
    assert await signer.later(USED_SECONDS - 1) == {"k1": "one"}
    with pytest.raises(KeysUnavailable):
        await signer.later(1)
    signer.is_away = False
    assert await signer.later(AGAIN_SECONDS) == {"k1": "one"}


@in_virtual_time
@pytest.mark.parametrize(
    "kind", [httpx.InvalidURL, FileNotFoundError, RecursionError, RuntimeError, TimeoutError]
)
async def test_whatever_breaks_a_fetch_keeps_the_old_keys(kind: type[Exception]) -> None:
    """A proxy or a file of certificates that the environment names may be wrong too."""
    signer = Signer()
    await signer.later(0)

    async def broken() -> Published:
        raise kind("broken")

    signer.known._fetch = broken
    assert await signer.later(KEPT_SECONDS) == {"k1": "one"}
    with pytest.raises(KeysUnavailable):
        await signer.later(AGAIN_SECONDS, "k2")


def published(reply: Reply) -> Api:
    return Api(behave=lambda _call: reply)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, KEPT_SECONDS),
        ({"Cache-Control": "public, max-age=7200, must-revalidate"}, 7200),
        ({"Cache-Control": "max-age=7200", "Age": "5000"}, 2200),
        ({"Cache-Control": "max-age=7200", "Age": "soon"}, 7200),
        ({"Cache-Control": "max-age=100", "Age": "5000"}, AGAIN_SECONDS),
        ({"Cache-Control": "max-age=999999999"}, USED_SECONDS),
        ({"Cache-Control": "s-maxage=5, max-age=soon"}, KEPT_SECONDS),
    ],
)
async def test_the_answer_says_for_how_long_its_keys_are_fresh(
    headers: dict[str, str], seconds: float
) -> None:
    async with published(Reply(headers=headers, body=b'{"k1": "one"}')) as host:
        assert await fetched(host.url) == Published({"k1": "one"}, seconds)


NO_KEYS = {
    "an error": Reply(404, body=b'{"k1": "one"}'),
    "a redirect": Reply(302, {"Location": "http://127.0.0.1:9/"}),
    "no answer": Reply(drop=True),
    "no JSON": Reply(body=b"<html>"),
    "no UTF-8": Reply(body=b"\xff\xfe\xff"),
    "a list": Reply(body=b'["k1"]'),
    "no key": Reply(body=b"{}"),
    "a key that is no text": Reply(body=b'{"k1": ["one"]}'),
    "lists in lists": Reply(body=b"[" * 200_000),
    "too much": Reply(body=b'{"k2": "' + b"x" * MOST_KEY_BYTES + b'"}'),
}


@pytest.mark.proves("signed-tokens-bounded")
@pytest.mark.parametrize("reply", NO_KEYS.values(), ids=NO_KEYS.keys())
async def test_what_are_no_keys_replaces_none(reply: Reply) -> None:
    clock = SettableClock()
    answers = [Reply(body=b'{"k1": "one"}'), reply]
    async with Api(behave=lambda _call: answers[min(len(host.calls), 2) - 1]) as host:
        known = SigningKeys("the signer", host.url, clock)
        assert await known.with_key("k1") == {"k1": "one"}
        clock.ahead += AGAIN_SECONDS
        with pytest.raises(KeysUnavailable):
            await known.with_key("k2")
        assert len(host.calls) == 2
        assert await known.with_key("k1") == {"k1": "one"}
