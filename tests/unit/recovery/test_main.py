"""Recovery looks at its unique indexes before it serves anything, where it may not build them."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from deletion.adapters.mongo.connection import connect
from deletion.clock import SystemClock
from deletion.errors import ConfigurationError
from deletion.process.settings import load
from recovery.main import _identities, _require, run
from recovery.settings import RecoverySettings
from tests.support.fake_mongo import REPLICA_SET, FakeMongo, failure

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


async def test_a_database_that_is_away_is_no_reason_not_to_start() -> None:
    async with FakeMongo(REPLICA_SET, lambda _: failure(189)) as server:
        client = connect(server.uri)
        with capture_logs() as logs:
            await _require(client["d"])
        client.close()
    assert [log["event"] for log in logs] == ["indexes are checked later"]
