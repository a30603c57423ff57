"""What a browser may do with an answer, and the files that pages load."""

import hashlib
import re
from pathlib import Path

import pytest

from console.assets import assets
from console.headers import HEADERS, POLICY
from tests.support.paths import ROOT
from tests.support.visiting import BROWSER, VIEWER, bearer, visiting

pytestmark = pytest.mark.virtual_time

STATIC = ROOT / "console" / "static"
TEMPLATES = sorted((ROOT / "console" / "templates").rglob("*.html"))


@pytest.mark.parametrize("path", ["/login", "/healthz", "/nothing", "/metrics", "/openapi.json"])
async def test_every_answer_has_the_headers(path: str) -> None:
    async with visiting() as visited:
        for headers in ({}, BROWSER, bearer(VIEWER)):
            answer = await visited.http.get(path, headers=headers)
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert answer.headers["cache-control"] == "no-store"


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert {*rules.values()} == {"'none'", "'self'"}
    assert {"script-src", "style-src", "form-action", "base-uri", "frame-ancestors"} <= set(rules)


async def test_an_unexpected_error_has_the_headers_and_no_text() -> None:
    async with visiting() as visited:

        async def broken() -> None:
            raise RuntimeError("secret")

        visited.app.add_api_route("/broken", broken)
        answer = await visited.http.get("/broken", headers=bearer(VIEWER))
        assert answer.status_code == 500
        assert answer.headers["content-security-policy"] == POLICY
        assert "secret" not in answer.text


async def test_a_file_is_kept_for_ever_under_the_hash_of_its_content() -> None:
    async with visiting() as visited:
        for name, asset in assets().items():
            answer = await visited.http.get(asset.address)
            assert answer.content == (STATIC / name).read_bytes()
            assert "immutable" in answer.headers["cache-control"]
            assert answer.headers["content-type"] == asset.media_type
        assert (await visited.http.get("/static/0000/console.css")).status_code == 404


def test_the_vendored_file_is_the_released_one() -> None:
    said = dict(re.findall(r"^(\w+) +(.+)$", (STATIC / "htmx.txt").read_text(), re.MULTILINE))
    assert hashlib.sha256((STATIC / "htmx.min.js").read_bytes()).hexdigest() == said["sha256"]
    assert f'this.version="{said["version"]}"' in (STATIC / "htmx.min.js").read_text()
    assert (STATIC / "htmx.LICENSE").read_text().startswith("Zero-Clause BSD")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_anything_inline_or_from_elsewhere(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals|js:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape" not in text
