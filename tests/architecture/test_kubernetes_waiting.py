"""deploy/kubernetes/await_topology.sh ends, whatever becomes of the Jobs of the topology."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.kubernetes import KUBERNETES
from tests.support.paths import DOCS

SCRIPT: Final = KUBERNETES / "await_topology.sh"
WITHIN: Final = 60.0

STATE: Final = (
    '{.status.conditions[?(@.type=="Failed")].reason}'
    '{.status.conditions[?(@.type=="Complete")].type}'
)
ASKED: Final = (
    *("-n", "bot-deletion", "get", "job", "-l", "app.kubernetes.io/component=topology"),
    *("-o", f"jsonpath={{range .items[*]}}{{.metadata.name}}{{' '}}{STATE}{{'\\n'}}{{end}}"),
)
KUBECTL: Final = """#!/bin/sh
[ "$(printf '%s\\n' "$@")" = "$ASKED" ] || { echo "unexpected: kubectl $*" >&2; exit 64; }
cat "$FOUND"
"""


def awaited(folder: Path, found: str | None, *seconds: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a kubectl that finds these Jobs, or fails."""
    kubectl = folder / "kubectl"
    kubectl.write_text(KUBECTL, encoding="utf-8")
    kubectl.chmod(stat.S_IRWXU)
    if found is not None:
        (folder / "found").write_text(found, encoding="utf-8")
    given = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "FOUND": str(folder / "found"),
        "ASKED": "\n".join(ASKED),
    }
    return subprocess.run(
        [SCRIPT, *seconds], env=given, capture_output=True, text=True, timeout=WITHIN, check=False
    )


def test_it_ends_when_all_are_complete(tmp_path: Path) -> None:
    found = "botdel-topology Complete\nbotdel-topology-chat Complete\n"
    done = awaited(tmp_path, found)
    assert (done.returncode, done.stdout, done.stderr) == (0, found, "")


@pytest.mark.parametrize("other", ["", "Complete"])
def test_it_ends_when_one_has_failed_and_says_which_and_why(tmp_path: Path, other: str) -> None:
    why = "botdel-topology-chat PodFailurePolicy"
    done = awaited(tmp_path, f"botdel-topology {other}\n{why}\n")
    assert done.returncode == 1
    assert done.stderr.startswith(f"failed:\n{why}\n")


@pytest.mark.parametrize(
    ("found", "pending"),
    [
        ("", "no Job of the topology exists"),
        ("botdel-topology \nbotdel-topology-chat Complete\n", "botdel-topology"),
    ],
)
def test_it_ends_after_the_seconds_that_are_given_and_says_what_is_pending(
    tmp_path: Path, found: str, pending: str
) -> None:
    done = awaited(tmp_path, found, "0")
    assert done.returncode == 2
    assert done.stderr == f"waiting for:\n{pending}\nnot complete in time\n"


def test_it_ends_when_kubectl_fails(tmp_path: Path) -> None:
    done = awaited(tmp_path, None)
    assert done.returncode == 1
    assert "No such file" in done.stderr


@pytest.mark.parametrize("heading", ["### The first installation", "### Rolling, and rolling back"])
def test_the_runbook_waits_by_it(heading: str) -> None:
    runbook = (DOCS / "runbooks" / "deploy.md").read_text(encoding="utf-8")
    section = runbook.partition(heading)[2].partition("\n### ")[0]
    assert f"deploy/kubernetes/{SCRIPT.name}\n" in section
    assert "--for=condition" not in section
