"""Gauges of pressure over HTTP: a Prometheus query, or a number that a service serves itself."""

import json
import math
from collections.abc import Mapping
from typing import Final

import httpx
from pydantic import SecretStr

from deletion.adapters.unproxied import unproxied
from deletion.errors import PressureUnknown
from deletion.pressure import READ_SECONDS

BODY_BYTES: Final = 65_536
"""The most bytes of an answer that are read."""


class HttpGauge:
    """A gauge whose value is the whole body of `url`."""

    what = "gauge"
    unit = ""

    def __init__(self, url: SecretStr) -> None:
        self._url = url

    async def read(self) -> float:
        """One GET. Raises `PressureUnknown`."""
        body = await _body(self._url)
        return _number(body.decode(errors="replace").strip())


class PrometheusGauge:
    """The value of an instant query; the largest, when it has several.

    https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries
    """

    what = "prometheus query"
    unit = ""

    def __init__(self, url: SecretStr, query: str) -> None:
        api = url.get_secret_value().rstrip("/") + "/api/v1/query"
        self._url = SecretStr(api)
        self._query = query

    async def read(self) -> float:
        """One GET. Raises `PressureUnknown`, also when the query finds nothing."""
        body = await _body(self._url, {"query": self._query})
        try:
            data = json.loads(body)["data"]
            is_scalar = data["resultType"] == "scalar"
            values = [data["result"]] if is_scalar else [each["value"] for each in data["result"]]
            numbers = [_number(value) for _, value in values]
        except (ValueError, KeyError, TypeError) as error:
            raise PressureUnknown("the answer is not a Prometheus result") from error
        if not numbers:
            raise PressureUnknown("the query finds nothing")
        return max(numbers)


def _number(text: object) -> float:
    try:
        number = float(str(text))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise PressureUnknown("the answer is not a number")
    return number


async def _body(url: SecretStr, params: Mapping[str, str] | None = None) -> bytes:
    """The body of `url`. Raises `PressureUnknown` without the URL, which may hold a secret."""
    found = b""
    client = unproxied(timeout=READ_SECONDS)
    try:
        async with client, client.stream("GET", url.get_secret_value(), params=params) as answer:
            if not httpx.codes.is_success(answer.status_code):
                raise PressureUnknown(f"the gauge answered {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                found += chunk
                if len(found) > BODY_BYTES:
                    raise PressureUnknown(f"the gauge answered more than {BODY_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PressureUnknown(f"the gauge does not answer ({type(error).__name__})") from None
    return found
