"""deploy/kubernetes/ renders to what Kubernetes accepts, and each process starts in it."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import product
from typing import Final

import kubernetes_validate
import pytest
from pydantic import ValidationError

from deletion.process.run import FAILED, MISUSED
from tests.support.deployed import (
    READ_BY,
    SERVING,
    parsed,
    read_by,
    required_by,
    settings_of,
)
from tests.support.kubernetes import (
    CONTAINER,
    OVERLAYS,
    PROCESSES,
    SERVICE_TOPOLOGY,
    Manifest,
    environment,
    named,
    of_kind,
    overlay,
    processes,
    secrets,
    started,
)
from tests.support.kubernetes_kinds import KINDS, check
from tests.support.paths import DOCS

OLDEST: Final = "1.30"
"""The oldest Kubernetes that has all fields; docs/runbooks/deploy.md says so."""
NEWEST: Final = kubernetes_validate.latest_version()

EVICTED: Final = {"type": "DisruptionTarget", "status": "True"}

each_overlay = pytest.mark.parametrize("name", OVERLAYS)
each_process = pytest.mark.parametrize(("name", "command"), list(product(OVERLAYS, PROCESSES)))


def invalid(manifests: Sequence[Manifest], version: str) -> Iterator[str]:
    """What is wrong with resources, each with its name. Unknown kinds have their own check."""
    for each in manifests:
        try:
            if each["kind"] in KINDS:
                check(each)
            else:
                kubernetes_validate.validate(each, version, strict=True)
        except (kubernetes_validate.ValidationError, ValidationError) as error:
            yield f"{each['kind']} {each['metadata']['name']}: {error}"


@pytest.mark.parametrize(
    ("name", "version"), [("production", OLDEST), ("production", NEWEST), ("development", NEWEST)]
)
def test_kubernetes_accepts_every_resource(name: str, version: str) -> None:
    assert list(invalid(overlay(name), version)) == []


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "CronJob", *KINDS])
def test_a_field_that_does_not_exist_is_found(kind: str) -> None:
    wrong = deepcopy(of_kind(overlay("production"), kind)[0])
    wrong["spec"]["teh"] = 1
    assert list(invalid([wrong], OLDEST)) != []


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        list(invalid([{"apiVersion": "example.org/v1", "kind": "New", "metadata": {}}], OLDEST))


def test_the_runbook_names_the_oldest_kubernetes() -> None:
    words = (DOCS / "runbooks" / "deploy.md").read_text(encoding="utf-8").split()
    assert f"Kubernetes {OLDEST} or newer" in " ".join(words)


@each_overlay
def test_what_a_repeat_does_not_mend_ends_the_job_of_the_topology(name: str) -> None:
    """The command itself waits for what may pass; a pod that was evicted or killed is repeated."""
    for process in ("topology", SERVICE_TOPOLOGY):
        job = started(name, process)
        assert parsed(job.container["args"])["wait"] >= 600
        spec = job.manifest["spec"]
        assert spec["podFailurePolicy"]["rules"] == [
            {"action": "Ignore", "onPodConditions": [EVICTED]},
            {
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    "values": sorted({FAILED, MISUSED}),
                },
            },
        ]
        assert job.pod["restartPolicy"] == "Never"  # the policy needs it


@each_overlay
def test_what_belongs_to_the_pipeline_is_applied_by_its_own_image(name: str) -> None:
    own, of_service = (started(name, each) for each in ("topology", SERVICE_TOPOLOGY))
    assert not parsed(own.container["args"])["plan"]
    assert parsed(of_service.container["args"])["only_services"] is True
    assert own.pod["serviceAccountName"] != of_service.pod["serviceAccountName"]


@each_overlay
def test_new_pods_wait_for_the_topology_as_long_as_its_jobs_may_take(name: str) -> None:
    longest = max(job["spec"]["activeDeadlineSeconds"] for job in of_kind(overlay(name), "Job"))
    for process in processes(overlay(name)):
        if process.command in SERVING:
            assert process.manifest["spec"]["progressDeadlineSeconds"] >= longest


@each_overlay
def test_a_consumer_starts_once_its_steps_have_their_indexes_and_rights(name: str) -> None:
    consumer = started(name, "consumer")
    first, _ = consumer.containers
    assert first["args"] == ["plan", "check", "--start", consumer.container["args"][-1]]
    for shared in ("image", "envFrom", "volumeMounts", "securityContext"):
        assert first[shared] == consumer.container[shared]


@each_overlay
def test_every_job_ends(name: str) -> None:
    jobs = [each["spec"] for each in of_kind(overlay(name), "Job")]
    crons = [each["spec"]["jobTemplate"]["spec"] for each in of_kind(overlay(name), "CronJob")]
    assert all(job["activeDeadlineSeconds"] <= 25 * 3600 for job in (*jobs, *crons))


# --- what is started, and with which settings


@each_overlay
def test_every_process_is_started(name: str) -> None:
    assert {each.process for each in processes(overlay(name))} == set(PROCESSES)


@each_process
def test_a_command_is_one_of_botdel(name: str, command: str) -> None:
    process = started(name, command)
    for container in process.containers:
        parsed(container["args"])
    assert process.container["name"] == CONTAINER


@pytest.mark.proves("deployed")
@each_process
def test_a_process_would_start_with_its_settings(name: str, command: str) -> None:
    process = started(name, command)
    found = environment(overlay(name), process)
    settings_of(process.command, found)
    assert required_by(process.command) <= found.keys()


@each_process
def test_a_variable_of_its_own_is_read_by_the_process(name: str, command: str) -> None:
    process = started(name, command)
    own = {each["name"] for each in process.container.get("env", ())}
    assert own <= read_by(process.command)


@each_overlay
def test_a_shared_setting_is_read_by_a_process(name: str) -> None:
    (settings,) = (
        each["data"]
        for each in of_kind(overlay(name), "ConfigMap")
        if each["metadata"]["name"].startswith("botdel-settings-")
    )
    assert settings.keys() <= read_by(*READ_BY)


@each_process
def test_every_process_has_the_same_shared_settings(name: str, command: str) -> None:
    """So a change of one that must agree rolls all of them: the name has a hash."""
    process = started(name, command)
    shared = [each for each in process.container["envFrom"] if "configMapRef" in each]
    assert shared == [
        each for each in processes(overlay(name))[0].container["envFrom"] if "configMapRef" in each
    ]


@each_process
def test_no_service_of_the_namespace_sets_a_variable(name: str, command: str) -> None:
    """The Service `botdel-gateway` would set BOTDEL_GATEWAY_PORT to `tcp://…`, which is no port."""
    process = started(name, command)
    assert process.pod["enableServiceLinks"] is False


@each_overlay
def test_no_secret_is_contained_and_the_runbook_names_each(name: str) -> None:
    assert of_kind(overlay(name), "Secret") == []
    runbook = (DOCS / "runbooks" / "deploy.md").read_text(encoding="utf-8")
    for process in processes(overlay(name)):
        for secret, key in secrets(process):
            assert f"`{secret.replace('-conversations', '-SERVICE')}`" in runbook
            assert key == "*" or f"`{key}`" in runbook
    for ingress in of_kind(overlay(name), "Ingress"):
        for each in ingress["spec"]["tls"]:
            assert f"| `{each['secretName']}` | `tls.crt`, `tls.key`" in runbook


@each_overlay
def test_the_gateway_gets_no_access_to_data(name: str) -> None:
    assert [key for _, key in secrets(started(name, "gateway"))] == ["BOTDEL_GATEWAY_TOKENS"]


@each_overlay
def test_the_cron_client_finds_recovery(name: str) -> None:
    cron = started(name, "recover")
    service = named(overlay(name), "Service", "botdel-recovery")
    (port,) = service["spec"]["ports"]
    assert parsed(cron.container["args"])["url"] == f"http://botdel-recovery:{port['port']}"
    assert service["spec"]["publishNotReadyAddresses"] is True


@each_overlay
def test_a_sweep_that_is_waited_for_ends_before_its_job_does(name: str) -> None:
    cron = started(name, "recover")
    job, tries = cron.manifest["spec"]["jobTemplate"]["spec"], 3
    assert job["backoffLimit"] == tries - 1
    longest = tries * parsed(cron.container["args"])["timeout"] + 10 + 20  # and the back-off
    assert job["activeDeadlineSeconds"] >= longest
    assert cron.manifest["spec"]["concurrencyPolicy"] == "Forbid"
    assert cron.manifest["spec"]["startingDeadlineSeconds"] >= 100  # 100 missed starts end it
