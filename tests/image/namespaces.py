"""Whether programs can be started in an image here, as tests/image does it without Docker."""

import os
import shutil
import subprocess
from typing import Final

import pytest

NEEDED: Final = "it needs root and Linux's mount namespaces (unshare --mount)"
WITHIN: Final = 60.0


def has_namespaces() -> bool:
    """Whether this process may start others in a mount namespace of their own."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    command = ["unshare", "--mount", "true"]
    return not subprocess.run(command, check=False, capture_output=True, timeout=WITHIN).returncode


def require_namespaces(*, is_asked_for: bool) -> None:
    """Skip the test without them; fail it if someone asked for it, as `make image-test` does."""
    if has_namespaces():
        return
    if is_asked_for:
        pytest.fail(f"the image was not tested: {NEEDED}")
    pytest.skip(NEEDED)
