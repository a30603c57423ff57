"""Whether the answer to a request should be a page or JSON (RFC 9110, section 12.5.1)."""

import math
from typing import Final

from fastapi import Request

from deletion.process.problems import PROBLEM

HTML: Final = "text/html"
API: Final = "/v1/"
JSON: Final = ("application/json", PROBLEM)
LONGEST_ACCEPT: Final = 1_000
"""Characters of the header that are read; a browser sends some 200. It is read before the client
has shown a credential, so that has to be cheap.
"""


def is_page(request: Request) -> bool:
    """Whether the answer should be a page, for a person, rather than JSON."""
    is_api = request.scope["path"].startswith(API)
    return not is_api and prefers_html(request.headers.get("accept", ""))


def prefers_html(accept: str) -> bool:
    """Whether the header `Accept` names HTML, with at least the weight of JSON.

    `*/*` names neither: programs send it. A header longer than `LONGEST_ACCEPT` counts as one
    that names neither.
    """
    if len(accept) > LONGEST_ACCEPT:
        return False
    weights = dict(map(_weighed, accept.split(",")))
    html = weights.get(HTML, 0.0)
    return html > 0 and all(weights.get(each, 0.0) <= html for each in JSON)


def _weighed(named: str) -> tuple[str, float]:
    """Return a content type and its weight, which is 0 if it is not a number."""
    kind, *parameters = (part.strip().lower() for part in named.split(";"))
    weights = [
        text for name, _, text in (each.partition("=") for each in parameters) if name == "q"
    ]
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        return kind, 0.0
    return kind, weight if math.isfinite(weight) else 0.0
