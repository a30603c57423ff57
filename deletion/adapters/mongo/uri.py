"""MongoDB URIs, checked before the driver gets them: its errors quote parts of a password."""

import re
from typing import Final

from pydantic import SecretStr

_SCHEME: Final = re.compile(r"mongodb(?:\+srv)?://")
_NAME: Final = r"(?:[^%:@/?]|%[0-9A-Fa-f]{2})"
_REST: Final = re.compile(rf"(?:{_NAME}+(?::{_NAME}*)?@)?[^@/?]+(?:[/?][^@]*)?")
"""User name and password, hosts, then database and options. `@` separates the first two."""


def checked(uri: SecretStr) -> SecretStr:
    """Return `uri`. Raises `ValueError`, which never quotes it, for an invalid or ambiguous URI.

    `:`, `/`, `?`, `@` and `%` in the user name and password must be percent-encoded (RFC 3986,
    section 3.2.1).
    """
    text = uri.get_secret_value()
    scheme = _SCHEME.match(text)
    if not scheme:
        raise ValueError("expected a URI that begins with mongodb:// or mongodb+srv://")
    if not _REST.fullmatch(text, scheme.end()):
        raise ValueError(
            "expected mongodb://[USER:PASSWORD@]HOSTS[/DATABASE][?OPTIONS]; user name and password "
            "must be percent-encoded (RFC 3986), and so must any other @"
        )
    return uri
