"""Which pods of deploy/kubernetes/ may connect to which, and what selects which of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from typing import Any, Final

import pytest

from tests.support.deployed import SERVING
from tests.support.kubernetes import (
    COMPONENT,
    NAME,
    OVERLAYS,
    PIPELINE,
    SERVICE,
    SERVICE_TOPOLOGY,
    Manifest,
    Workload,
    named,
    of_kind,
    overlay,
    processes,
    selects,
    workloads,
)

MONGODB: Final = 27017
HTTPS: Final = 443
METADATA: Final = {("169.254.169.252/32", 988), ("169.254.169.254/32", 80)}
"""GKE's metadata server, of Workload Identity. Elsewhere 169.254.169.254 has the node's rights."""
CLOUD_DNS: Final = ("169.254.169.254/32", 53)
BALANCERS: Final = {"35.191.0.0/16", "130.211.0.0/22"}
"""Those of Google: https://cloud.google.com/load-balancing/docs/health-check-concepts."""
DATA: Final = {"consumer", "recovery", "console", "topology"}
"""Who reaches MongoDB."""

each_overlay = pytest.mark.parametrize("name", OVERLAYS)


def policies(manifests: Sequence[Manifest], pod: Mapping[str, str], way: str) -> list[Any]:
    """The specs of the policies for one way, "Ingress" or "Egress", that select these labels."""
    return [
        each["spec"]
        for each in of_kind(manifests, "NetworkPolicy")
        if way in each["spec"]["policyTypes"] and selects(each["spec"]["podSelector"], pod)
    ]


def rules(manifests: Sequence[Manifest], pod: Mapping[str, str], way: str) -> Iterator[Any]:
    return chain.from_iterable(each.get(way.lower(), ()) for each in policies(manifests, pod, way))


def matches(peers: Sequence[Any] | None, labels: Mapping[str, str], namespace: str | None) -> bool:
    """Whether `peers` include a pod with `labels`, in another `namespace` or in the same (None)."""
    if peers is None:
        return True
    return any(
        ("namespaceSelector" in peer) == (namespace is not None)
        and selects(peer.get("podSelector", {}), labels)
        and selects(
            peer.get("namespaceSelector", {}), {"kubernetes.io/metadata.name": namespace or ""}
        )
        for peer in peers
        if "ipBlock" not in peer
    )


def enters(
    manifests: Sequence[Manifest],
    to: Workload,
    labels: Mapping[str, str] | None = None,
    namespace: str | None = None,
) -> bool:
    """Whether a pod with `labels` may connect to the port of `to`, by the policies of `to`."""
    return any(
        matches(rule.get("from"), labels or {}, namespace)
        and {"port": to.container["ports"][0]["name"]} in rule["ports"]
        for rule in rules(manifests, to.labels, "Ingress")
    )


def leaves(manifests: Sequence[Manifest], of: Workload, to: Workload) -> bool:
    """Whether `of` may connect to the port of `to`, by its own policies."""
    ports = ({"port": to.container["ports"][0]["name"]}, {"port": to.port})
    return any(
        matches(rule.get("to"), to.labels, None) and any(port in rule["ports"] for port in ports)
        for rule in rules(manifests, of.labels, "Egress")
    )


def everywhere(manifests: Sequence[Manifest], of: Workload) -> set[int]:
    """The ports that `of` may connect to wherever they are."""
    return {
        port["port"]
        for rule in rules(manifests, of.labels, "Egress")
        if "to" not in rule
        for port in rule["ports"]
    }


@pytest.mark.proves("deployed-rights")
@each_overlay
def test_every_pod_may_do_nothing_by_default(name: str) -> None:
    denied = named(overlay(name), "NetworkPolicy", "default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for workload, way in product(workloads(overlay(name)), ("Ingress", "Egress")):
        assert policies(overlay(name), workload.labels, way)


@each_overlay
def test_every_policy_is_for_a_pod_that_there_is(name: str) -> None:
    pods = [each.labels for each in workloads(overlay(name))]
    for policy in of_kind(overlay(name), "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]
        assert any(selects(selector, labels) for labels in pods), policy["metadata"]["name"]
        for expression in selector.get("matchExpressions", ()):
            assert set(expression["values"]) <= {labels.get(COMPONENT) for labels in pods}


@pytest.mark.proves("deployed-rights")
@each_overlay
def test_who_connects_to_whom(name: str) -> None:
    """Within the namespace: clients to the gateway, and the cron client to recovery."""
    pods = processes(overlay(name))
    serving = [each for each in pods if each.command in SERVING]
    allowed = {
        (of.component, to.component)
        for of, to in product(pods, serving)
        if leaves(overlay(name), of, to) and enters(overlay(name), to, of.labels)
    }
    assert allowed == {("cron", "recovery")}


@pytest.mark.proves("deployed-rights")
@each_overlay
def test_what_other_namespaces_reach(name: str) -> None:
    reached = {
        namespace: {
            each.component
            for each in processes(overlay(name))
            if each.command in SERVING and enters(overlay(name), each, {}, namespace)
        }
        for namespace in ("monitoring", "ingress", "default")
    }
    assert reached == {"monitoring": set(), "ingress": {"gateway", "console"}, "default": set()}


@pytest.mark.proves("deployed-rights")
@each_overlay
def test_of_the_namespace_of_monitoring_the_pods_of_prometheus_alone_reach_the_ports(
    name: str,
) -> None:
    for process in processes(overlay(name)):
        if process.command in SERVING:
            assert enters(overlay(name), process, {NAME: "prometheus"}, "monitoring")
            assert not enters(overlay(name), process, {NAME: "grafana"}, "monitoring")
            assert not enters(overlay(name), process, {NAME: "prometheus"}, "default")


def blocks(manifests: Sequence[Manifest], of: Workload, way: str) -> set[tuple[str, int | str]]:
    """The addresses of one way that a policy names, each with its ports."""
    return {
        (peer["ipBlock"]["cidr"], port["port"])
        for rule in rules(manifests, of.labels, way)
        for peer in rule.get({"Ingress": "from", "Egress": "to"}[way], ())
        if "ipBlock" in peer
        for port in rule["ports"]
    }


@pytest.mark.proves("deployed-rights")
def test_of_what_is_no_pod_the_balancers_of_google_reach_the_gateway_alone() -> None:
    each = ((name, process) for name in OVERLAYS for process in processes(overlay(name)))
    for name, process in each:
        is_reached = (name, process.component) == ("production", "gateway")
        expected = {(block, "http") for block in BALANCERS} if is_reached else set()
        assert blocks(overlay(name), process, "Ingress") == expected


@pytest.mark.proves("deployed-rights")
@each_overlay
def test_what_is_reached_outside(name: str) -> None:
    for process in processes(overlay(name)):
        reached = everywhere(overlay(name), process)
        assert (MONGODB in reached) == (process.component in DATA), process.name
        assert (HTTPS in reached) == (process.component != "cron"), process.name
        assert reached <= {MONGODB, HTTPS}
        by_address = blocks(overlay(name), process, "Egress")
        is_on_gke = name == "production"
        assert (by_address >= METADATA) == (is_on_gke and process.component != "cron")
        assert (CLOUD_DNS in by_address) == is_on_gke
        if not is_on_gke:
            assert {address for address, _ in by_address} == {"169.254.20.10/32"}


@each_overlay
def test_every_process_finds_names(name: str) -> None:
    for process in processes(overlay(name)):
        asked = [
            {(port["port"], port["protocol"]) for port in rule["ports"]}
            for rule in rules(overlay(name), process.labels, "Egress")
            if matches(rule.get("to", []), {"k8s-app": "kube-dns"}, "kube-system")
        ]
        assert {(53, "UDP"), (53, "TCP")} in asked


def test_on_gke_every_process_finds_names_by_cloud_dns_too() -> None:
    """Which answers at the address of the metadata server, by UDP and, if it is long, by TCP."""
    for process in processes(overlay("production")):
        assert {
            port["protocol"]
            for rule in rules(overlay("production"), process.labels, "Egress")
            if {"ipBlock": {"cidr": CLOUD_DNS[0]}} in rule.get("to", ())
            for port in rule["ports"]
            if port["port"] == CLOUD_DNS[1]
        } == {"UDP", "TCP"}


def test_what_is_exposed_is_the_gateway_over_tls_alone() -> None:
    (ingress,) = of_kind(overlay("production"), "Ingress")
    annotations = ingress["metadata"]["annotations"]
    assert annotations == {
        "kubernetes.io/ingress.class": "gce",  # GKE does nothing with an ingressClassName
        "kubernetes.io/ingress.allow-http": "false",
    }
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/v1/", "Prefix")
    assert path["backend"]["service"]["name"] == "botdel-gateway"


@pytest.mark.parametrize(
    ("name", "annotations"),
    [
        ("development", None),
        ("production", {"cloud.google.com/neg": '{"ingress": true}'}),
    ],
)
def test_on_gke_the_load_balancer_connects_to_the_pods_of_the_gateway(
    name: str, annotations: dict[str, str] | None
) -> None:
    """Not to a port of every node, which a Service of type ClusterIP does not have."""
    gateway = named(overlay(name), "Service", "botdel-gateway")
    assert gateway["metadata"].get("annotations") == annotations


def test_in_development_the_processes_reach_the_servers_and_nobody_else_does() -> None:
    manifests = overlay("development")
    servers = [each for each in workloads(manifests) if each.labels[NAME] != PIPELINE]
    assert {each.labels[NAME] for each in servers} == {"mongodb", "pubsub"}
    for server, process in product(servers, processes(manifests)):
        assert enters(manifests, server, process.labels)
        if process.component in DATA:
            assert leaves(manifests, process, server)
    assert not any(enters(manifests, server, {}, "default") for server in servers)


# --- what else selects pods


@each_overlay
def test_a_selector_of_a_workload_selects_its_own_pods_alone(name: str) -> None:
    for workload in workloads(overlay(name)):
        if selector := workload.manifest["spec"].get("selector"):
            chosen = [each for each in workloads(overlay(name)) if selects(selector, each.labels)]
            assert chosen == [workload]


@each_overlay
def test_a_service_selects_the_pods_of_one_process_and_a_port_that_they_have(name: str) -> None:
    for service in of_kind(overlay(name), "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        (chosen,) = (each for each in workloads(overlay(name)) if selects(selector, each.labels))
        (port,) = service["spec"]["ports"]
        (own,) = chosen.container["ports"]
        assert port.get("targetPort", port["port"]) in (own["name"], own["containerPort"])


@each_overlay
def test_a_disruption_of_each_deployment_takes_one_pod_at_a_time(name: str) -> None:
    budgets = [each["spec"] for each in of_kind(overlay(name), "PodDisruptionBudget")]
    for process in processes(overlay(name)):
        chosen = [each for each in budgets if selects(each["selector"], process.labels)]
        assert [each["maxUnavailable"] for each in chosen] == (
            [1] if process.command in SERVING else []
        )


def test_prometheus_scrapes_every_process_that_serves_metrics() -> None:
    (monitor,) = of_kind(overlay("production"), "PodMonitor")
    scraped = {
        each.component
        for each in processes(overlay("production"))
        if selects(monitor["spec"]["selector"], each.labels)
    }
    assert scraped == set(SERVING)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["honorLabels"]) == (
        "http",
        "/metrics",
        True,
    )


@each_overlay
def test_what_belongs_to_a_service_says_so(name: str) -> None:
    for process in processes(overlay(name)):
        of_service = process.process in ("consumer", SERVICE_TOPOLOGY)
        assert (SERVICE in process.labels) == of_service
