"""A scripted MongoDB server: it speaks OP_MSG over TCP and stores nothing.

It gives replies that no server on this machine gives: another kind of deployment, a failover's
error code, no answer at all.
https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
"""

import asyncio
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from tests.support.tcp import TcpServer

Document = dict[str, Any]
Reply = Callable[[Document], Mapping[str, Any] | None]
"""The answer to one command, without `ok`; None for no answer at all."""

HEADER: Final = struct.Struct("<iiii")
OP_MSG: Final = 2013
REPLICA_SET: Final[Document] = {"isWritablePrimary": True, "setName": "rs"}
STANDALONE: Final[Document] = {"isWritablePrimary": True}
MONGOS: Final[Document] = {"isWritablePrimary": True, "msg": "isdbgrid"}
LIMITS: Final[Document] = {
    "minWireVersion": 0,
    "maxWireVersion": 21,
    "maxBsonObjectSize": 16 << 20,
}
HELLO: Final = ("hello", "ismaster", "isMaster")
ANY_DATE: Final = CodecOptions[Document](datetime_conversion=DatetimeConversion.DATETIME_AUTO)

NO_DOCUMENTS: Final[Document] = {"cursor": {"id": 0, "ns": "d.c", "firstBatch": []}}


def failure(code: int, message: str = "as the test wants it") -> Document:
    """A command that failed, without any error label."""
    return {"ok": 0, "code": code, "codeName": f"Code{code}", "errmsg": message}


class FakeMongo(TcpServer):
    """Listens on a free port; `commands` are all it received, without the driver's own.

    `hello` describes the deployment; with None the server accepts connections and never answers.
    """

    def __init__(self, hello: Mapping[str, Any] | None, reply: Reply) -> None:
        super().__init__()
        self._hello = hello
        self._reply = reply
        self.commands: list[Document] = []
        self.connections = 0

    @property
    def uri(self) -> str:
        """A value for BOTDEL_MONGODB_URI."""
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true&retryReads=false"

    def sent(self, name: str) -> list[Document]:
        """The commands with this name, in order."""
        return [command for command in self.commands if name in command]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                length, request, _, _ = HEADER.unpack(await reader.readexactly(HEADER.size))
                command = _command(await reader.readexactly(length - HEADER.size))
                answer = self._answer(command)
                if answer is not None:
                    writer.write(_message({"ok": 1, **answer}, request))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            writer.transport.abort()

    def _answer(self, command: Document) -> Mapping[str, Any] | None:
        if self._hello is None:
            return None
        name = next(iter(command))
        if name in HELLO:
            if "maxTimeMS" in command:  # a call of the product, and not the driver's own
                self.commands.append(command)
            return {**LIMITS, **self._hello, "hosts": [f"127.0.0.1:{self.port}"]}
        if name == "endSessions":
            return {}
        self.commands.append(command)
        return self._reply(command)


def _command(body: bytes) -> Document:
    """A section of kind 1 is an array of the command: its name, then its documents."""
    command: Document = {}
    at = 4  # after the flags
    while at < len(body):
        kind, size = body[at], struct.unpack_from("<i", body, at + 1)[0]
        section = body[at + 1 : at + 1 + size]
        if kind == 0:
            command = {**bson.decode(section, ANY_DATE), **command}
        else:
            name, _, documents = section[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents, ANY_DATE)
        at += 1 + size
    return command


def _message(document: Document, response_to: int) -> bytes:
    body = struct.pack("<iB", 0, 0) + bson.encode(document)
    return HEADER.pack(HEADER.size + len(body), 0, response_to, OP_MSG) + body
