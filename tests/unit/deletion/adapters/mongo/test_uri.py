"""A URI whose password is not encoded is refused before the driver quotes it, by every reader."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from deletion.adapters.mongo.connection import Clients, connect
from deletion.adapters.mongo.uri import checked
from deletion.adapters.plan_file import read_plan
from deletion.errors import ConfigurationError, PlanError
from deletion.process.settings import load
from deletion.process.store_settings import StoreSettings

AMBIGUOUS = [
    "mongodb://user:hunter/22hunter@host/db",
    "mongodb://user:hunter/22hunter@host",
    "mongodb://user:27017/22hunter@host",
    "mongodb://user:/22hunter@host/db",
    "mongodb://hunt/er:22hunter@host/db",
    "mongodb://user:27017?22hunter=22hunter@host/db",
    "mongodb://user:22hunter@22hunter@host/db",
    "mongodb://user:22hunter:22hunter@host/db",
    "mongodb://user:22hunter%@host/db",
    "mongodb://user:22hunter%zz@host/db",
    "mongodb+srv://user:hunter/22hunter@host/db",
    "mongodb://:22hunter@host/db",
    "mongodb://user:22hunter@",
    "mongodb://",
]


@pytest.mark.proves("credentials")
@pytest.mark.parametrize("uri", AMBIGUOUS)
def test_a_setting_that_is_ambiguous_is_named_and_nothing_of_it_is_shown(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTDEL_MONGODB_URI", uri)
    with pytest.raises(ConfigurationError, match=r"  BOTDEL_MONGODB_URI: .*RFC 3986") as caught:
        load(StoreSettings)
    assert "22hunter" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.proves("credentials")
@pytest.mark.parametrize("uri", AMBIGUOUS)
def test_a_plan_whose_uri_is_ambiguous_is_refused_and_nothing_of_it_is_shown(
    uri: str, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    mongo = "{database: d, collection: c, field: f, uri: '${DATA_URI}'}"
    plan.write_text(f"service: shop\nsteps:\n  - name: orders\n    mongo: {mongo}\n")
    with pytest.raises(PlanError, match=r":4: steps\.0\.mongo\.uri: .*RFC 3986") as caught:
        read_plan(plan, {"DATA_URI": uri})
    assert "22hunter" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://127.0.0.1",
        "mongodb://127.0.0.1:27017/",
        "mongodb://[::1]:27017,host:27018/db?replicaSet=rs&tls=true",
        "mongodb://host?directConnection=true",
        "mongodb://user@host/?authMechanism=MONGODB-X509&tls=true",
        "mongodb://us%40er:p%2Fa%3As%3Fs%40@host/db",
        "mongodb://user:#a!b[c]&d=e@host/db?authSource=admin",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/db",
    ],
)
def test_what_the_driver_takes_is_taken(uri: str) -> None:
    connect(uri).close()
    assert checked(SecretStr(uri)).get_secret_value() == uri


@pytest.mark.proves("credentials")
@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://user:22hunter",
        "mongodb://22hunter%20",
        "mongodb://host/22hunter$",
        "mongodb://host/?22hunter",
        "mongodb+srv://host:22/22hunter",
    ],
)
def test_what_the_driver_refuses_is_refused_without_its_words(uri: str) -> None:
    with pytest.raises(ConfigurationError, match=r"RFC 3986") as caught:
        Clients("mongodb://jobs.invalid/").get(uri)
    assert "22hunter" not in str(caught.value)
    assert caught.value.__suppress_context__
