"""HTTP connections with bounds on what a client can cost before it is authenticated.

uvicorn limits neither the size of a head (request line and headers) nor the time to send one. It
parses pipelined requests before the answer to the first one is complete, and its limit on
connections refuses every client once it is reached: docs/decisions/0021.

A connection is in one of these states. The client has a timer in those that are its turn.

| next to read | answer under way | whose turn it is |
|---|---|---|
| a head | no | the client's, to send a request or the rest of its head |
| a body | yes | the application's; a part of the body may still come |
| a head | yes | the application's; what the client sends now is kept in `_ahead` |
| a body | no | the client's, to send the rest of a body that nobody has waited for |
| any | the client does not read it | the client's, to read |
| nothing more | no | the client's, to read a refusal; then the connection is closed |
"""

from asyncio import AbstractEventLoop, BaseTransport, TimerHandle, Transport
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from deletion.process.http_connections import Connections
from deletion.process.problems import Problem

PIECE: Final = 512
"""Bytes given to the parser at a time: how precisely a head behind another request is counted,
and the most that is parsed of a pipelined request."""
TOO_MANY: Final = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many connections; the request was not read",
    {"Retry-After": "1"},
)


class BoundedHttp(HttpToolsProtocol):
    """uvicorn's protocol within the bounds of its `Connections`.

    It sends a problem and closes the connection: 431 for a head over the limit, 408 for one that
    is not complete in time, 503 for a connection beyond the bound.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
        *,
        among: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._among = among
        self._bounds = among.bounds
        self._timer: TimerHandle | None = None
        self._ahead = b""  # pipelined bytes
        self._unparsed = 0  # bytes since the last head or part of a body was complete
        self._headers = 0  # of this head, or trailers of this body
        self._in_head = True  # a head is next to read, not a body
        self._done_reading = False

    def connection_made(self, transport: BaseTransport) -> None:
        """Wait for the first request, or refuse the connection when there are too many."""
        super().connection_made(cast("Transport", transport))  # uvloop's is no subclass
        if self._among.opened(self):
            self._among.waits(self)
            self._start_timer(self._bounds.seconds)
        else:
            self._done_reading = True
            self.transport.write(_refusal(TOO_MANY))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove it from the open connections."""
        self._stop_timer()
        self._among.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse in pieces: no head exceeds its bound, and pipelined bytes wait for their turn."""
        data, self._ahead, start = self._ahead + data, b"", 0
        while start < len(data) and not self._done_reading:
            if self._answering and self._in_head:
                self._keep_ahead(data[start:])
                return
            room = self._bounds.head_bytes - self._unparsed
            if room <= 0:
                detail = f"request line and headers exceed {self._bounds.head_bytes} bytes"
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
                return
            piece = data[start : start + min(room, PIECE)]
            start += len(piece)
            self._parse(piece)
        if self._in_head and self._unparsed and self._timer is None and not self._done_reading:
            self._start_timer(self._bounds.seconds)

    def _parse(self, piece: bytes) -> None:
        self._unparsed += len(piece)  # the callbacks set it to 0
        super().data_received(piece)

    def _keep_ahead(self, ahead: bytes) -> None:
        """Keep pipelined bytes until the answers are complete; too many of them end the reading."""
        if len(ahead) > self._bounds.head_bytes:
            self._read_no_more()
        else:
            self._ahead = ahead
            self.flow.pause_reading()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header. Raises `ValueError`, which ends the parsing, when there are too many."""
        self._headers += 1
        if self._headers > self._bounds.headers:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: it is the application's turn."""
        self._in_head, self._unparsed, self._headers = False, 0, 0
        self._stop_timer()
        self._among.works(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which does not count towards the head."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete: the next byte belongs to another head."""
        self._in_head, self._unparsed, self._headers = True, 0, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The answer is complete: it is the client's turn, unless it has pipelined a request."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self.cycle.body.clear()  # the part that nobody has read
            self._among.waits(self)
            if self.transport.is_closing() or not self._in_head:
                self._start_timer(self._bounds.seconds)
            elif self._ahead:
                self.data_received(b"")

    def pause_writing(self) -> None:
        """The client does not read its answer: bound how long that lasts."""
        super().pause_writing()
        self._among.waits(self)
        self._start_timer(self._bounds.seconds)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._stop_timer()
        if self._answering:
            self._among.works(self)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its client has not read everything."""
        super().timeout_keep_alive_handler()
        self._start_timer(self._bounds.linger_seconds)

    def send_400_response(self, msg: str) -> None:
        """Send uvicorn's 400 as a problem."""
        if self._headers > self._bounds.headers:
            detail = f"more than {self._bounds.headers} headers"
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail)
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, msg)

    def drop(self) -> None:
        """Close at once, to make room for another connection."""
        self._done_reading = True
        self.transport.abort()

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._time_is_up)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self._done_reading or self.transport.is_closing() or self.flow.write_paused:
            self.drop()
        elif self._in_head and self._unparsed:
            detail = f"no complete request within {self._bounds.seconds:g} s"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, detail)
        else:
            self._read_no_more()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Send a problem, unless other answers are under way, and close."""
        if not self.transport.is_closing() and not self._answering:
            self.transport.write(_refusal(Problem(status, detail)))
        self._read_no_more()

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _read_no_more(self) -> None:
        """Close after the answers under way. What the client still sends stays in the socket.

        The connection is shut for writing first, and closed a moment later: closing it with unread
        bytes would reset it, and the client might never see the answer.
        """
        self._done_reading = True
        self.flow.pause_reading()
        if self._answering and not self._in_head:
            self.drop()  # what is left of the body will not be read
        elif self._answering:
            self.cycle.keep_alive = False
        elif not self.transport.is_closing():
            self.transport.write_eof()
            self._among.waits(self)
            self._stop_timer()
            self._start_timer(self._bounds.linger_seconds)


def _refusal(problem: Problem) -> bytes:
    response = problem.response()
    head = [STATUS_LINE[problem.status], b"connection: close\r\n"]
    head += [name + b": " + value + b"\r\n" for name, value in response.raw_headers]
    return b"".join([*head, b"\r\n", response.body])
