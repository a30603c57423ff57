"""Recovery looks at its unique indexes before it serves anything, where it may not build them."""

from pathlib import Path
from typing import Final

import httpx
import pytest
from fastapi import Request
from structlog.testing import capture_logs

from console.main import recovery_of
from console.settings import ConsoleSettings
from deletion.adapters.mongo.connection import connect
from deletion.clock import SystemClock
from deletion.errors import ConfigurationError
from deletion.process.problems import Problem
from deletion.process.settings import load
from recovery.main import _identities, _require, accepted_tokens, run
from recovery.settings import RecoverSettings, RecoverySettings
from tests.support.deployed import SECRETS
from tests.support.fake_mongo import REPLICA_SET, FakeMongo, failure

OLD: Final = "the-old-token-of-recovery"
NEW: Final = "the-new-token-of-recovery"
NO_INDEXES = {"cursor": {"id": 0, "ns": "d.c", "firstBatch": []}}


@pytest.mark.proves("indexes-required")
async def test_it_refuses_to_start_without_a_unique_index_and_builds_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    async with FakeMongo(REPLICA_SET, lambda _: NO_INDEXES) as server:
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
        monkeypatch.setenv("BOTDEL_MONGODB_URI", server.uri)
        monkeypatch.setenv("BOTDEL_RECOVERY_TOKEN", "0123456789abcdef")
        with pytest.raises(ConfigurationError, match="botdel topology apply"):
            await run(load(RecoverySettings))
    assert server.sent("createIndexes") == []


def test_accounts_may_call_only_where_they_are_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "a-project")
    monkeypatch.setenv("BOTDEL_MONGODB_URI", "mongodb://127.0.0.1/")
    monkeypatch.setenv("BOTDEL_RECOVERY_TOKEN", "0123456789abcdef")
    assert _identities(load(RecoverySettings), SystemClock()) is None
    monkeypatch.setenv("BOTDEL_RECOVERY_OIDC_EMAILS", "cron@a-project.iam.gserviceaccount.com")
    monkeypatch.setenv("BOTDEL_RECOVERY_OIDC_AUDIENCE", "https://recovery.example.org")
    assert _identities(load(RecoverySettings), SystemClock()) is not None


@pytest.mark.proves("recovery-callers")
async def test_while_a_token_is_changed_recovery_accepts_both_and_callers_send_the_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SECRETS, "GOOGLE_CLOUD_PROJECT": "a-project"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BOTDEL_RECOVERY_TOKEN", f"{OLD},{NEW}")
    monkeypatch.setenv("BOTDEL_RECOVERY_URL", "http://recovery:8082")
    accepted = accepted_tokens(load(RecoverySettings), SystemClock())
    for token in (OLD, NEW):
        headers = [(b"authorization", f"Bearer {token}".encode())]
        await accepted(Request({"type": "http", "headers": headers}))
    for wrong in (f"{OLD},{NEW}", f"{NEW}x"):
        headers = [(b"authorization", f"Bearer {wrong}".encode())]
        with pytest.raises(Problem):
            await accepted(Request({"type": "http", "headers": headers}))
    assert load(RecoverSettings).token.get_secret_value() == OLD
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers["authorization"])
        return httpx.Response(202, json={"sweep_id": "0" * 24})

    recovery = recovery_of(load(ConsoleSettings), httpx.MockTransport(answer))
    assert recovery
    await recovery.start_sweep()
    assert sent == [f"Bearer {OLD}"]


async def test_a_database_that_is_away_is_no_reason_not_to_start() -> None:
    async with FakeMongo(REPLICA_SET, lambda _: failure(189)) as server:
        client = connect(server.uri)
        with capture_logs() as logs:
            await _require(client["d"])
        client.close()
    assert [log["event"] for log in logs] == ["indexes are checked later"]
