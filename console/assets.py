"""The files that pages load, kept in memory: nothing comes from anywhere else."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response

from deletion.process.problems import Problem

TYPES: Final[Mapping[str, str]] = {
    "console.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
"""An address has the hash of its content, so that an update is another address."""
HASH_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, and the address that pages load it from."""

    content: bytes
    media_type: str
    address: str


@cache
def assets() -> Mapping[str, Asset]:
    """The files by their names."""
    return {name: _asset(name, media_type) for name, media_type in TYPES.items()}


def asset_routes() -> APIRouter:
    """`/static/{mark}/{name}`: needs no credential."""
    router = APIRouter(include_in_schema=False)
    by_address = {asset.address: asset for asset in assets().values()}

    @router.get("/static/{mark}/{name}")
    async def static(mark: str, name: str) -> Response:
        asset = by_address.get(f"/static/{mark}/{name}")
        if asset is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such file")
        return Response(
            asset.content, headers={"Cache-Control": FOR_EVER}, media_type=asset.media_type
        )

    return router


def _asset(name: str, media_type: str) -> Asset:
    content = (files("console") / "static" / name).read_bytes()
    mark = hashlib.sha256(content).hexdigest()[:HASH_CHARACTERS]
    return Asset(content, media_type, f"/static/{mark}/{name}")
