"""The errors that clients get, with the codes of google.rpc.Code."""

import sqlite3
from typing import Final

import grpc

from botdel.local.broker import remedies

MAX_CHARACTERS: Final = 1_000
"""Characters of a message, at most: it quotes what clients send, and travels in a header."""


class Refused(Exception):
    """A call is refused with `code`; the message says why and, where it helps, what to do."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message[:MAX_CHARACTERS])
        self.code = code


def invalid(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(name: str) -> Refused:
    return Refused(
        grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={name.rpartition('/')[2]})."
    )


def already_exists(name: str) -> Refused:
    return Refused(
        grpc.StatusCode.ALREADY_EXISTS,
        f"Resource already exists in the project (resource={name.rpartition('/')[2]}).",
    )


def precondition(message: str) -> Refused:
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, message)


def not_built(what: str) -> Refused:
    return Refused(
        grpc.StatusCode.UNIMPLEMENTED,
        f"{what}: the embedded broker does not have this. Google's emulator or Pub/Sub may.",
    )


def not_kept(error: sqlite3.Error) -> Refused:
    """Return UNAVAILABLE, on which clients repeat a call. That is right: nothing was changed."""
    return Refused(
        grpc.StatusCode.UNAVAILABLE,
        f"the change could not be kept on disk: {error}; {remedies.of_file(error)}",
    )


def exhausted(message: str) -> Refused:
    return Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def stopping() -> Refused:
    return Refused(grpc.StatusCode.UNAVAILABLE, "the broker is stopping")
