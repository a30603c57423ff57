"""Renders pages and parts of them from templates. Text of others is always escaped."""

import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from console.access import VISITOR, is_poll
from console.assets import assets
from console.pages.words import FILTERS
from deletion.clock import Clock
from deletion.process.run import escaped

PART: Final = "part"
"""The query parameter with which a page asks for the part of itself that changes."""
POLL_EVERY: Final = "5s"
"""How often a page asks for that part, as htmx reads it."""
SECTIONS: Final = (
    ("/", "Overview"),
    ("/requests", "Requests"),
    ("/jobs", "Jobs"),
    ("/dead-letters", "Dead letters"),
    ("/sweeps", "Sweeps"),
    ("/actions", "Audit"),
    ("/doctor", "Doctor"),
)
"""The addresses of the sections, and their names."""


class Renderer:
    """Renders the templates of this package, with the time of `clock`. Pages poll `poll_every`."""

    def __init__(self, clock: Clock, poll_every: str = POLL_EVERY) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=PackageLoader("console"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_printable,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(FILTERS)
        self._environment.globals.update(assets=assets(), sections=SECTIONS, poll_every=poll_every)

    def page(
        self,
        request: Request,
        template: str,
        values: Mapping[str, object],
        status: HTTPStatus = HTTPStatus.OK,
        *,
        live: bool = False,
    ) -> Response:
        """The whole page or, if its script asks for that, the part that changes. A `live` page asks
        again and again.

        A part has an ETag, and is a 304 for a browser that has it already.
        """
        if not (is_poll(request) and PART in request.query_params):
            asks = {**values, "poll": _part_of(request) if live else None}
            return HTMLResponse(self._render(request, template, "page.html", asks), status)
        content = self._render(request, template, "part.html", values).encode()
        mark = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": mark, "Cache-Control": "private, no-cache"}
        if mark in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return HTMLResponse(content, status, headers)

    def _render(
        self, request: Request, template: str, layout: str, values: Mapping[str, object]
    ) -> str:
        path = request.scope["path"]
        visitor = request.scope.get("state", {}).get(VISITOR)
        return self._environment.get_template(template).render(
            **values, layout=layout, path=path, visitor=visitor, now=self._clock.now()
        )


def _printable(value: object) -> object:
    """Text with its control characters escaped, as on a terminal: they could hide other text."""
    return value if isinstance(value, Markup) else escaped(str(value), keep="\n\t")


def _part_of(request: Request) -> str:
    """The address of the part of this page that changes."""
    query = request.scope["query_string"].decode("latin-1")
    return f"{request.scope['path']}?{query}{'&' if query else ''}{PART}=1"
