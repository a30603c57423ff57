"""The status of an HTTP answer, for the middleware that counts answers or records spans."""

from http import HTTPStatus

from starlette.types import Message, Send


class Answer:
    """Stands between an app and `send`, and keeps the `status` of the answer that goes through.

    Until one has, it is 500: a request that raises is answered so further out.
    """

    __slots__ = ("_send", "status")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int = HTTPStatus.INTERNAL_SERVER_ERROR

    async def send(self, message: Message) -> None:
        """Pass the message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
