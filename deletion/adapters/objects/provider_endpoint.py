"""Endpoints come from the provider's own environment variables, and are checked here."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from deletion.adapters.spec import is_loopback
from deletion.errors import PlanError


def endpoint(environ: Mapping[str, str], *names: str) -> str | None:
    """The first of the variables `names` that is set, without a slash at its end.

    Raises `PlanError` for plain `http://` to another machine: credentials and keys would be read on
    the way.
    """
    for name in names:
        if url := environ.get(name):
            _check(name, url)
            return url.rstrip("/")
    return None


def is_plain(url: str | None) -> bool:
    """Whether `url` is plain HTTP."""
    return url is not None and url.startswith("http://")


def _check(name: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PlanError("expected an https:// URL", field=name)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise PlanError("plain http:// is for this machine only, expected https://", field=name)
