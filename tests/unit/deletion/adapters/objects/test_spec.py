"""What a plan file may say of objects, and what is refused because it would reach too far."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from deletion.adapters.objects.files import folder_of
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.plan_file import read_plan
from deletion.adapters.spec import StepConnections
from deletion.errors import PlanError

CONNECTIONS = StepConnections(lambda _: pytest.fail("no database"))


def spec(url: str = "s3://avatars", prefix: str = "bots/{bot_id}/") -> ObjectsSpec:
    return ObjectsSpec(url=url, prefix=prefix)


@pytest.mark.parametrize(
    "prefix", ["{bot_id}/", "bots/{bot_id}/", "a/b/{bot_id}/media/", "bots of é/{bot_id}/"]
)
def test_the_id_is_a_folder_of_the_prefix(prefix: str) -> None:
    assert spec(prefix=prefix).prefix == prefix


@pytest.mark.proves("whole-prefix")
@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("bots/{bot_id}", "a / at its end"),
        ("bots/", "once, as the whole name"),
        ("", "a / at its end"),
        ("/", "once, as the whole name"),
        ("bots/x{bot_id}/", "once, as the whole name"),
        ("bots/{bot_id}x/", "once, as the whole name"),
        ("bots-{bot_id}/", "once, as the whole name"),
        ("bots/{bot_id}/{bot_id}/", "once, as the whole name"),
        ("bots/{bot_id}/x{bot_id}/", "once, as the whole name"),
        ("/bots/{bot_id}/", "no empty folder"),
        ("bots//{bot_id}/", "no empty folder"),
        ("bots/../{bot_id}/", "no empty folder"),
        ("bots/./{bot_id}/", "no empty folder"),
        ("bots/{bot_id}//", "no empty folder"),
        ("{tenant}/{bot_id}/", "no brace"),
        ("bots/\n/{bot_id}/", "no control"),
    ],
)
def test_a_prefix_that_could_reach_others_is_refused(prefix: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        spec(prefix=prefix)


@pytest.mark.proves("file-url")
@pytest.mark.parametrize(
    "url",
    [
        "avatars",
        "s3://",
        "s3://avatars/bots",
        "s3://Avatars",
        "s3://key:secret@avatars",
        "https://avatars.example",
        "file://bots",
        "file:///",
        "file:///a/../b",
        "file://host/a",
        "file:///a#old",
        "file:///a?old",
        "file:///a/%2e%2e/b",
        "file:///a/.%2E/b",
        "file:///a%2fb",
        "file:///a%2F..%2Fb",
        "file:///a\tb",
        "file:///a%0Ab",
        "file:///a%00",
        "file:///a%ff",
        "file:///%2e",
        "file:////",
        "ftp://avatars",
    ],
)
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"expected|can't decode"):
        spec(url)


@pytest.mark.proves("file-url")
@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("file:///srv/media", "/srv/media"),
        ("file:///srv/media%20files/", "/srv/media files"),
        ("file:///srv/a%23b%3Fc", "/srv/a#b?c"),
        ("file:///srv/é", "/srv/é"),
        ("file:///srv/%C3%A9", "/srv/é"),
        ("file:///srv/100%", "/srv/100%"),
    ],
)
def test_a_file_url_names_one_folder(url: str, folder: str) -> None:
    assert spec(url).url == url
    assert folder_of(url) == Path(folder)


@pytest.mark.proves("kept-by-provider")
def test_azure_is_taken_only_with_what_cannot_be_seen_accepted() -> None:
    with pytest.raises(ValidationError, match="retained: accept"):
        spec("az://avatars")
    ObjectsSpec(url="az://avatars", prefix="bots/{bot_id}/", retained="accept")


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("s3://avatars", "AWS_ENDPOINT_URL"),
        ("s3://avatars", "AWS_ENDPOINT_URL_S3"),
        ("gs://avatars", "STORAGE_EMULATOR_HOST"),
        ("az://avatars", "AZURE_STORAGE_ENDPOINT"),
    ],
)
def test_plain_http_is_for_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str
) -> None:
    plan = ObjectsSpec(url=url, prefix="bots/{bot_id}/", retained="accept")
    for endpoint in ("http://10.0.0.1:9000", "http://localhost.example", "storage.example"):
        monkeypatch.setenv(variable, endpoint)
        with pytest.raises(PlanError, match=f"step media: {variable}: .*https://"):
            plan.build("media", CONNECTIONS)
    for endpoint in ("http://127.0.0.1:9000", "http://[::1]:9000/", "https://storage.example"):
        monkeypatch.setenv(variable, endpoint)
        plan.build("media", CONNECTIONS)


def test_both_apis_of_google_need_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", "https://storage.example")
    with pytest.raises(PlanError, match="STORAGE_EMULATOR_HOST to be set too"):
        spec("gs://avatars").build("media", CONNECTIONS)


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://avatars", "aiobotocore"), ("gs://avatars", "obstore"), ("az://avatars", "obstore")],
)
def test_missing_packages_are_named_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str
) -> None:
    for module in [name for name in sys.modules if name.startswith("deletion.adapters.objects.")]:
        if module.rpartition(".")[2] in (
            "s3",
            "s3_listers",
            "gcs",
            "gcs_listers",
            "azure",
            "obstore_lister",
        ):
            monkeypatch.delitem(sys.modules, module)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    plan = ObjectsSpec(url=url, prefix="bots/{bot_id}/", retained="accept")
    with pytest.raises(PlanError, match=r"step media: .*pip install '.*\[objects\]'"):
        plan.build("media", CONNECTIONS)


def test_a_plan_without_objects_loads_none_of_their_packages() -> None:
    program = (
        "import sys, deletion.adapters.plan_file; "
        "print(*{'obstore', 'aiobotocore', 'google.cloud.storage'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b""


def test_a_wrong_prefix_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "service: media\n"
        "steps:\n"
        "  - name: avatars\n"
        "    objects:\n"
        "      url: s3://avatars\n"
        "      prefix: bots/{bot_id}\n"
    )
    with pytest.raises(PlanError, match=r"plan.yaml:6: steps.0.objects.prefix: expected a / at"):
        read_plan(path)
