"""How the pods of deploy/kubernetes/ are probed and stopped, their rights and their images."""

import re
from itertools import product
from typing import Any

import pytest

from tests.support.deployed import SERVING, port_of, required_by, settings_of
from tests.support.kubernetes import (
    OVERLAYS,
    PROCESSES,
    environment,
    named,
    of_kind,
    overlay,
    processes,
    started,
    workloads,
)
from tests.support.paths import ROOT

each_overlay = pytest.mark.parametrize("name", OVERLAYS)
each_process = pytest.mark.parametrize(("name", "command"), list(product(OVERLAYS, PROCESSES)))
each_server = pytest.mark.parametrize(("name", "command"), list(product(OVERLAYS, SERVING)))


# --- ports and probes


@pytest.mark.proves("deployed")
@each_server
def test_the_port_is_the_one_that_the_process_listens_on(name: str, command: str) -> None:
    process = started(name, command)
    assert process.port == port_of(process.command, environment(overlay(name), process))
    (port,) = process.container["ports"]
    assert port["name"] == "http"


@each_server
def test_a_restart_depends_on_the_process_alone_and_traffic_on_readiness(
    name: str, command: str
) -> None:
    process = started(name, command)
    probes = {
        kind: (process.container[f"{kind}Probe"]["httpGet"]) for kind in ("startup", "liveness")
    }
    assert probes == {kind: {"path": "/healthz", "port": "http"} for kind in probes}
    liveness = process.container["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 60, "SECURITY.md: a minute"
    readiness = process.container["readinessProbe"]
    assert readiness["httpGet"] == {"path": "/readyz", "port": "http"}
    assert readiness["timeoutSeconds"] >= 5


@each_server
def test_a_start_may_take_longer_than_mongodb_is_waited_for(name: str, command: str) -> None:
    process = started(name, command)
    startup = process.container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 60


@each_server
def test_a_process_gets_its_grace_period_and_20_s(name: str, command: str) -> None:
    process = started(name, command)
    found: Any = settings_of(process.command, environment(overlay(name), process))
    before = process.container.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
    needed = before["sleep"]["seconds"] + found.shutdown_grace_seconds + 20
    assert process.pod["terminationGracePeriodSeconds"] >= needed


@pytest.mark.parametrize("command", ["gateway", "console"])
def test_what_clients_reach_leaves_the_load_balancer_before_it_stops(command: str) -> None:
    process = started("production", command)
    assert process.container["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}


def test_the_gateway_keeps_a_connection_longer_than_googles_load_balancer_does() -> None:
    """https://cloud.google.com/load-balancing/docs/https#timeout-keepalive-backends."""
    process = started("production", "gateway")
    found: Any = settings_of("gateway", environment(overlay("production"), process))
    assert found.gateway_keep_alive_seconds > 600


# --- rights and images


@pytest.mark.proves("deployed-rights")
@each_process
def test_a_process_has_no_more_rights_than_it_needs(name: str, command: str) -> None:
    process = started(name, command)
    pod = process.pod["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["runAsGroup"]) == (True, 65532, 65532)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in process.containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert process.pod["automountServiceAccountToken"] is False


@each_process
def test_a_process_has_a_service_account_of_its_own(name: str, command: str) -> None:
    process = started(name, command)
    account = process.pod["serviceAccountName"]
    assert named(overlay(name), "ServiceAccount", account)["automountServiceAccountToken"] is False
    others = [each for each in processes(overlay(name)) if each.process != process.process]
    assert account not in {each.pod["serviceAccountName"] for each in others}


def test_who_uses_pubsub_is_known_to_google_cloud_by_its_own_name() -> None:
    production = overlay("production")
    for process in processes(production):
        account = process.pod["serviceAccountName"]
        found = named(production, "ServiceAccount", account)["metadata"].get("annotations", {})
        uses_google = "GOOGLE_CLOUD_PROJECT" in required_by(process.command)
        known = f"{account}@my-project.iam.gserviceaccount.com"
        assert found == ({"iam.gke.io/gcp-service-account": known} if uses_google else {})


def test_development_has_no_identity_of_google_cloud() -> None:
    for account in of_kind(overlay("development"), "ServiceAccount"):
        assert "annotations" not in account["metadata"], account["metadata"]["name"]


def test_terraform_lets_the_service_accounts_of_production_act_as_those_of_google_cloud() -> None:
    text = (ROOT / "deploy" / "terraform" / "identities.tf").read_text(encoding="utf-8")
    bound = set(re.findall(r"\[\$\{var\.kubernetes_namespace\}/([^]]+)\]", text))
    accounts = of_kind(overlay("production"), "ServiceAccount")
    annotated = {
        each["metadata"]["name"].replace("-conversations", "-${each.key}")
        for each in accounts
        if "annotations" in each["metadata"]
    }
    assert bound == annotated


@each_overlay
def test_every_container_says_what_it_needs(name: str) -> None:
    each = (container for found in workloads(overlay(name)) for container in found.containers)
    for container in each:
        resources = container["resources"]
        assert resources["requests"].keys() == {"cpu", "memory"}
        assert resources["limits"].keys() == {"memory"}  # a limit of cpu would only throttle


@each_overlay
def test_every_image_has_a_tag_or_a_digest_and_none_is_the_latest(name: str) -> None:
    for workload in workloads(overlay(name)):
        (image,) = {container["image"] for container in workload.containers}
        assert "@sha256:" in image or image.rpartition(":")[2] not in ("", "latest", image)


def test_production_runs_one_image_by_its_digest() -> None:
    (image,) = {each.container["image"] for each in processes(overlay("production"))}
    _, _, digest = image.partition("@sha256:")
    assert len(digest) == 64


def test_production_runs_two_replicas_at_least_and_spreads_them() -> None:
    for process in processes(overlay("production")):
        if process.command in SERVING:
            assert process.manifest["spec"].get("replicas", 2) >= 2
            spread = process.pod["topologySpreadConstraints"]
            keys = ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
            assert [each["topologyKey"] for each in spread] == keys
            for each in spread:
                selector = process.manifest["spec"]["selector"]["matchLabels"]
                assert each["labelSelector"]["matchLabels"] == selector


@each_overlay
def test_everything_is_in_the_namespace_whose_pods_are_restricted(name: str) -> None:
    (namespace,) = of_kind(overlay(name), "Namespace")
    inside = [each for each in overlay(name) if each["kind"] != "Namespace"]
    assert {each["metadata"]["namespace"] for each in inside} == {namespace["metadata"]["name"]}
    level = namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert level == {"production": "restricted", "development": "baseline"}[name]
