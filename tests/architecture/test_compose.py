"""compose.yaml starts the whole pipeline, with settings that every process accepts."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft7Validator
from pydantic import ValidationError

from deletion.adapters.plan_file import read_plan
from tests.support.composed import (
    COMPOSE,
    EXAMPLE,
    FILLED_IN,
    Unset,
    composed,
    given,
    interpolated,
    mounted,
    processes,
    read,
)
from tests.support.deployed import (
    READ_BY,
    SERVING,
    parsed,
    port_of,
    read_by,
    required_by,
    settings_of,
)
from tests.support.monitoring import needs_promtool, promtool
from tests.support.paths import ROOT

SERVERS: Final = ROOT / "deploy" / "compose" / "servers.yaml"
SCHEMA: Final = Path(__file__).parent / "compose_schema" / "compose.schema.json"
ENV_FILE: Final = "deploy/compose.env"
REQUIRED: Final = sorted(interpolated() - {"BOTDEL_VERSION"})
PROCESSES: Final = processes()
OTHERS: Final = {name: each for name, each in composed(FILLED_IN).items() if name not in PROCESSES}

each_process = pytest.mark.parametrize("name", PROCESSES)


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def wrong(document: Any) -> list[str]:
    """Where it violates the schema of the Compose Specification."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return [error.message for error in Draft7Validator(schema).iter_errors(document)]


def test_the_schema_is_the_one_that_its_origin_names() -> None:
    origin = dict(
        line.split(maxsplit=1) for line in SCHEMA.with_suffix(".txt").read_text().splitlines()
    )
    assert hashlib.sha256(SCHEMA.read_bytes()).hexdigest() == origin["sha256"]


@pytest.mark.parametrize("path", [COMPOSE, SERVERS], ids=lambda path: path.name)
def test_a_file_follows_the_specification(path: Path) -> None:
    assert wrong(read(path)) == []


def test_a_key_and_a_value_that_do_not_exist_are_found() -> None:
    assert wrong({"services": {"gateway": {"image": "a", "helthcheck": {}}}})
    assert wrong({"services": {"gateway": {"image": "a", "read_only": [1]}}})


def test_every_process_is_started_at_least_once() -> None:
    assert {service["command"][0] for service in PROCESSES.values()} == set(READ_BY)


@each_process
def test_a_command_is_one_of_botdel(name: str) -> None:
    parsed(PROCESSES[name]["command"])


@pytest.mark.proves("deployed")
@each_process
def test_the_settings_are_those_of_the_process_and_it_would_start(name: str) -> None:
    command, environment = PROCESSES[name]["command"][0], PROCESSES[name]["environment"]
    assert environment.keys() <= read_by(command)
    settings_of(command, environment)


@each_process
def test_a_process_would_not_start_without_a_setting_that_it_requires(name: str) -> None:
    command, environment = PROCESSES[name]["command"][0], PROCESSES[name]["environment"]
    assert required_by(command) <= environment.keys()
    for variable in required_by(command):
        with pytest.raises(ValidationError):
            settings_of(command, {**environment, variable: ""})


@pytest.mark.parametrize("variable", REQUIRED)
def test_nothing_starts_without_a_secret_and_the_error_says_where_it_belongs(variable: str) -> None:
    with pytest.raises(Unset, match=f"{variable}: not set; fill in {ENV_FILE}"):
        composed({**FILLED_IN, variable: ""})


def test_the_example_has_each_variable_and_no_secret() -> None:
    assert given(EXAMPLE) == {"BOTDEL_VERSION": "dev", **dict.fromkeys(REQUIRED, "")}
    assert EXAMPLE.name.removesuffix(".example") == Path(ENV_FILE).name
    assert ENV_FILE in (ROOT / ".gitignore").read_text().splitlines()


def test_the_servers_alone_need_no_variable() -> None:
    assert "${" not in SERVERS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [n for n, s in PROCESSES.items() if s["command"][0] in SERVING])
def test_a_health_check_asks_the_port_that_the_process_listens_on(name: str) -> None:
    service = PROCESSES[name]
    port = port_of(service["command"][0], service["environment"])
    probe = ["CMD", "botdel", "healthcheck", "--port", str(port), "--path", "/readyz"]
    assert service["healthcheck"]["test"] == probe
    assert parsed(probe[2:])["port"] == port
    assert service.get("ports", []) in ([], [f"127.0.0.1:{port}:{port}"])
    assert service["environment"][f"BOTDEL_{service['command'][0].upper()}_HOST"] == "0.0.0.0"


def test_only_this_machine_reaches_what_is_published() -> None:
    published = [port for each in (PROCESSES | OTHERS).values() for port in each.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_recovery_is_not_published() -> None:
    assert "ports" not in PROCESSES["recovery"]


def test_recovery_is_where_its_callers_look_for_it() -> None:
    recovery = PROCESSES["recovery"]
    url = f"http://recovery:{port_of('recovery', recovery['environment'])}"
    assert parsed(PROCESSES["cron"]["command"])["url"] == url
    assert PROCESSES["console"]["environment"]["BOTDEL_RECOVERY_URL"] == url
    for caller in ("cron", "console"):
        token = "BOTDEL_RECOVERY_TOKEN"
        assert PROCESSES[caller]["environment"][token] == recovery["environment"][token]


def test_sweeps_are_daily() -> None:
    assert parsed(PROCESSES["cron"]["command"])["every"] == 24 * 3600


@pytest.mark.proves("deployed-rights")
@each_process
def test_a_process_has_no_more_rights_than_it_needs(name: str) -> None:
    service = PROCESSES[name]
    assert service["read_only"] is True
    assert service["user"] == "65532:65532"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_process
def test_a_process_has_its_grace_period_and_20_s(name: str) -> None:
    service = PROCESSES[name]
    grace = service["environment"].get("BOTDEL_SHUTDOWN_GRACE_SECONDS", "20")
    assert seconds(service["stop_grace_period"]) >= float(grace) + 20


def test_the_topology_is_applied_before_anything_starts_that_uses_it() -> None:
    for name, service in PROCESSES.items():
        if name not in ("topology", "cron"):
            done = service["depends_on"]["topology"]["condition"]
            assert done == "service_completed_successfully"
    healthy = {"condition": "service_healthy"}
    assert PROCESSES["topology"]["depends_on"] == {"mongodb": healthy, "pubsub": healthy}


def test_the_image_is_built_once_before_anything_else_starts_and_nobody_pulls_it() -> None:
    """Several services that build one tag at once fail: they export it at the same time."""
    assert [name for name, service in PROCESSES.items() if "build" in service] == ["topology"]
    assert len({service["image"] for service in PROCESSES.values()}) == 1
    assert {service["pull_policy"] for service in PROCESSES.values()} == {"never"}


def test_what_a_service_depends_on_exists_and_has_a_health_check() -> None:
    services = PROCESSES | OTHERS
    for service in services.values():
        for name, how in service.get("depends_on", {}).items():
            assert how["condition"] != "service_healthy" or "healthcheck" in services[name]


def test_every_image_has_a_tag_and_none_is_the_latest() -> None:
    for service in (PROCESSES | OTHERS).values():
        _, _, tag = service["image"].rpartition(":")
        assert tag not in ("", "latest", service["image"])


def test_what_is_mounted_exists() -> None:
    for service in (PROCESSES | OTHERS).values():
        for source, _ in mounted(service):
            assert source.exists(), source


def test_the_topology_is_that_of_the_plans_of_the_consumers() -> None:
    plans: dict[str, Path] = {}
    for service in PROCESSES.values():
        if service["command"][0] == "consumer":
            plans |= {target: source for source, target in mounted(service)}
    assert [str(path) for path in parsed(PROCESSES["topology"]["command"])["plan"]] == [*plans]
    assert {target: source for source, target in mounted(PROCESSES["topology"])} == plans
    for target, source in plans.items():
        assert read_plan(source, {}).service in PROCESSES
        assert target.startswith("/")


def test_prometheus_scrapes_every_process_and_loads_the_rules() -> None:
    config = read(ROOT / "deploy" / "compose" / "prometheus.yml")
    (job,) = config["scrape_configs"]
    assert job["honor_labels"] is True
    (static,) = job["static_configs"]
    assert sorted(static["targets"]) == sorted(
        f"{name}:{port_of(service['command'][0], service['environment'])}"
        for name, service in PROCESSES.items()
        if service["command"][0] in SERVING
    )
    seen = {target: source for source, target in mounted(OTHERS["prometheus"])}
    assert config["rule_files"] == ["rules.yml"]
    assert seen["/etc/prometheus/rules.yml"] == ROOT / "deploy" / "prometheus" / "rules.yml"
    file = "--config.file=/etc/prometheus/prometheus.yml"
    assert file in OTHERS["prometheus"]["command"]
    assert seen["/etc/prometheus/prometheus.yml"].name == "prometheus.yml"


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    folder = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = read(folder / "datasources" / "prometheus.yaml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    (provider,) = read(folder / "dashboards" / "bot-deletion.yaml")["providers"]
    seen = {target: source for source, target in mounted(OTHERS["grafana"])}
    assert seen["/etc/grafana/provisioning"] == folder
    assert seen[provider["options"]["path"]] == ROOT / "deploy" / "grafana"


@needs_promtool
def test_promtool_accepts_the_configuration(tmp_path: Path) -> None:
    for name in ("compose/prometheus.yml", "prometheus/rules.yml"):
        path = ROOT / "deploy" / name
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    assert promtool("check", "config", tmp_path / "prometheus.yml") == ""
