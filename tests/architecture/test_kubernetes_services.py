"""A service is added to deploy/kubernetes/ as the runbook says, scales, and rolls with its plan."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from ruamel.yaml import YAML

from botdel.new_service.command import new_service
from deletion.adapters.plan_file import read_plan
from tests.support.deployed import parsed, settings_of
from tests.support.kubernetes import (
    KUBERNETES,
    OVERLAYS,
    SERVICE,
    Manifest,
    Workload,
    environment,
    kustomized,
    named,
    of_kind,
    overlay,
    processes,
    secrets,
    selects,
)
from tests.support.monitoring import RULES
from tests.support.paths import DOCS, ROOT

RUNBOOK: Final = DOCS / "runbooks" / "deploy.md"
HEADER: Final = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
PLAN: Final = """
service: chat-history
steps:
  - name: messages
    mongo: {database: chat, collection: messages, field: botId}
"""
READ: Final = """
import sys, pathlib, deletion.adapters.plan_file as f
print(f.read_plan(pathlib.Path(sys.argv[1])).service)
"""
LISTED: Final = "  - ../../services/conversations\n"
SERVICES: Final = sorted(path.parent for path in (KUBERNETES / "services").glob("*/plan.yaml"))


def documented() -> str:
    """The kustomization of the runbook, for a service whose name has a hyphen."""
    text = RUNBOOK.read_text(encoding="utf-8").partition("### Adding a service on Kubernetes")[2]
    block = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert block
    return HEADER + re.sub(r"\bchat\b", "chat-history", block[1])


def with_service(folder: Path, plan: str = PLAN) -> Path:
    """Copy deploy/kubernetes/ and add a service as the runbook says. Returns the copy."""
    copy = folder / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    chat = copy / "services" / "chat-history"
    chat.mkdir()
    (chat / "plan.yaml").write_text(plan)
    (chat / "kustomization.yaml").write_text(documented())
    path = copy / "overlays" / "production" / "kustomization.yaml"
    path.write_text(path.read_text().replace(LISTED, f"{LISTED}  - ../../services/chat-history\n"))
    return copy


def production(copy: Path) -> list[Manifest]:
    return kustomized(copy / "overlays" / "production")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Manifest]:
    return production(with_service(tmp_path_factory.mktemp("service")))


def of_service(manifests: Sequence[Manifest], service: str, command: str) -> Workload:
    (found,) = (
        each
        for each in processes(manifests)
        if each.command == command and each.labels.get(SERVICE) == service
    )
    return found


def mounted(manifests: Sequence[Manifest], workload: Workload) -> Mapping[Path, str]:
    """The files that a process sees of its ConfigMap, and their texts."""
    (volume,) = workload.pod["volumes"]
    (mount,) = workload.container["volumeMounts"]
    assert mount["name"] == volume["name"]
    texts = named(manifests, "ConfigMap", volume["configMap"]["name"])["data"]
    where = Path(mount["mountPath"])
    if only := mount.get("subPath"):
        return {where: texts[only]}
    return {where / name: text for name, text in texts.items()}


@pytest.mark.proves("plan-rolls")
def test_a_service_is_what_the_runbook_adds_and_changes_nothing_else(
    installed: Sequence[Manifest],
) -> None:
    before = list(overlay("production"))
    added = [each for each in installed if each not in before]
    assert [each for each in before if each not in installed] == []
    labelled = [each["metadata"]["labels"][SERVICE] for each in added]
    assert set(labelled) == {"chat-history"}
    assert sorted(each["kind"] for each in added) == [
        "ConfigMap",
        "Deployment",
        "Job",
        "PodDisruptionBudget",
        "ScaledObject",
        "ServiceAccount",
        "ServiceAccount",
    ]


def test_the_consumer_and_the_topology_of_a_service_read_its_plan(
    installed: Sequence[Manifest],
) -> None:
    for command in ("consumer", "topology"):
        workload = of_service(installed, "chat-history", command)
        path = Path("/service/plan.yaml")
        assert parsed(workload.container["args"])["plan"] in (path, [path], (path,))
        assert mounted(installed, workload) == {path: PLAN}
        assert (f"botdel-{command}-chat-history", "*") in secrets(workload)
        settings_of(command, environment(installed, workload))


@pytest.mark.proves("further-service")
@pytest.mark.parametrize("command", ["consumer", "topology"])
def test_a_step_of_a_new_service_is_found_beside_the_plan_that_is_mounted(
    installed: Sequence[Manifest], tmp_path: Path, command: str
) -> None:
    """Its image has the step in the working directory; the plan comes from the ConfigMap."""
    new_service("avatars", tmp_path / "avatars")
    dockerfile = (tmp_path / "avatars" / "Dockerfile").read_text()
    (folder,) = re.findall(r"^WORKDIR /(\S+)$", dockerfile, re.M)
    (copied,) = re.findall(r"^COPY (.+) \./$", dockerfile, re.M)
    root = tmp_path / "root"
    (root / folder).mkdir(parents=True)
    for name in copied.split():
        shutil.copy(tmp_path / "avatars" / name, root / folder / name)
    workload = of_service(installed, "chat-history", command)
    (path,) = (root / each.relative_to("/") for each in mounted(installed, workload))
    path.parent.mkdir(exist_ok=True)
    path.write_text((tmp_path / "avatars" / "plan.yaml").read_text())
    done = subprocess.run(
        [sys.executable, "-P", "-c", READ, str(path)],  # -P, because `botdel` is not in the folder
        cwd=root / folder,
        env={"PYTHONPATH": str(ROOT), "AVATARS_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "avatars\n", done.stderr


def test_a_service_has_an_identity_and_a_disruption_budget_of_its_own(
    installed: Sequence[Manifest],
) -> None:
    for command in ("topology", "consumer"):
        process = of_service(installed, "chat-history", command)
        name = process.pod["serviceAccountName"]
        account = named(installed, "ServiceAccount", name)
        assert name == f"botdel-{command}-chat-history"
        assert account["metadata"]["annotations"] == {
            "iam.gke.io/gcp-service-account": f"{name}@my-project.iam.gserviceaccount.com"
        }
    consumer = of_service(installed, "chat-history", "consumer")
    name = consumer.manifest["metadata"]["name"]
    other = of_service(installed, "conversations", "consumer")
    budget = named(installed, "PodDisruptionBudget", name)["spec"]["selector"]
    assert selects(budget, consumer.labels)
    assert not selects(budget, other.labels)


@pytest.mark.proves("plan-rolls")
def test_a_new_plan_rolls_the_consumer_of_its_service_and_nothing_else(
    installed: Sequence[Manifest], tmp_path: Path
) -> None:
    after = production(with_service(tmp_path, PLAN + "    # changed\n"))
    changed = [each for each in after if each not in installed]
    assert sorted(each["kind"] for each in changed) == ["ConfigMap", "Deployment", "Job"]
    templates = [
        of_service(each, "chat-history", "consumer").template for each in (installed, after)
    ]
    assert templates[0] != templates[1]


def test_a_new_setting_rolls_every_process(installed: Sequence[Manifest], tmp_path: Path) -> None:
    copy = with_service(tmp_path)
    settings = copy / "base" / "settings.env"
    settings.write_text(settings.read_text() + "BOTDEL_MAX_ATTEMPTS=7\n")
    old = {each.name: each.template for each in processes(installed)}
    new = {each.name: each.template for each in processes(production(copy))}
    assert old.keys() == new.keys()
    assert all(old[name] != new[name] for name in old)


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_plan_can_be_read_and_is_that_of_its_service(folder: Path) -> None:
    kustomization = YAML(typ="safe").load(folder / "kustomization.yaml")
    service = read_plan(folder / "plan.yaml", {}).service
    assert kustomization["nameSuffix"] == f"-{service}"
    assert kustomization["labels"][0]["pairs"] == {SERVICE: service}
    assert folder.name == service


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_names_of_a_service_are_written_everywhere(name: str) -> None:
    assert "SERVICE" not in str(overlay(name))


def test_a_consumer_is_scaled_by_its_own_jobs(installed: Sequence[Manifest]) -> None:
    consumer = of_service(installed, "chat-history", "consumer")
    scaled = named(installed, "ScaledObject", "botdel-consumer-chat-history")["spec"]
    assert scaled["scaleTargetRef"]["name"] == consumer.manifest["metadata"]["name"]
    assert "replicas" not in consumer.manifest["spec"]
    query = scaled["triggers"][0]["metadata"]["query"]
    assert re.findall(r'service="([^"]*)"', query) == [
        "chat-history",
        "chat-history",
    ]


def test_without_keda_a_consumer_has_two_replicas(tmp_path: Path) -> None:
    copy = with_service(tmp_path)
    path = copy / "services" / "chat-history" / "kustomization.yaml"
    path.write_text(path.read_text().replace(", ../../components/autoscaling", ""))
    after = production(copy)
    assert of_service(after, "chat-history", "consumer").manifest["spec"]["replicas"] == 2
    assert len(of_kind(after, "ScaledObject")) == 1


# --- alert rules


@pytest.mark.parametrize(
    ("given", "labels"),
    [((), {}), (("RELEASE=kube-prometheus-stack",), {"release": "kube-prometheus-stack"})],
)
def test_the_alert_rules_of_the_operator_are_those_of_prometheus(
    given: Sequence[str], labels: Mapping[str, str]
) -> None:
    run = subprocess.run(
        ["make", "--silent", "alert-rules", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    rule = YAML(typ="safe").load(run.stdout)
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    named_so = {"name": "bot-deletion", "namespace": "bot-deletion"}
    assert rule["metadata"] == named_so | ({"labels": labels} if labels else {})
    assert rule["spec"] == YAML(typ="safe").load(RULES)


def test_the_operator_of_kube_prometheus_stack_selects_what_has_the_label_of_its_release() -> None:
    (monitor,) = of_kind(overlay("production"), "PodMonitor")
    release = monitor["metadata"]["labels"]["release"]
    runbook = RUNBOOK.read_text(encoding="utf-8")
    assert f"make alert-rules RELEASE={release} | kubectl apply -f -\n" in runbook
    assert 'up{namespace="bot-deletion"}' in runbook
