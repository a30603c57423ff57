"""Runs a program in a folder as if that were the root of a container's file system.

Started as root in a mount namespace of its own (`unshare --mount`), which ends with the program.
The folders of the system and Python itself come from this machine, read-only; they stand for the
base image. Imports the standard library only, because it runs with `python -I -S`.

    inside.py '{"root": …, "python": …, "env": {…}, "cwd": …, "user": [UID, GID] or null}' PROGRAM…
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

SYSTEM: Final = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
DEVICES: Final = ("null", "zero", "random", "urandom")
PR_SET_PDEATHSIG: Final = 1


def main(given: dict[str, Any], program: list[str]) -> None:
    """Become `program`. With a user, the whole file system is read-only."""
    root = Path(given["root"])
    mount("--bind", root, root)
    lay_base(root, Path(given["python"]))
    if given["user"]:
        mount("-o", "remount,bind,ro", root)
    os.chroot(root)
    os.chdir(given["cwd"])
    if given["user"]:
        become(*given["user"])
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # set anew: a change of user clears it
    os.environ["PATH"] = given["env"]["PATH"]  # where `program` is looked for
    os.execvpe(program[0], program, given["env"])  # noqa: S606  # there need not be a shell


def lay_base(root: Path, python: Path) -> None:
    """Show the system's folders, a few devices and `python`, the folder of Python, in `root`."""
    for name in SYSTEM:
        system = Path("/", name)
        if system.is_symlink() and not (root / name).is_symlink():
            (root / name).symlink_to(system.readlink())
        elif system.is_dir() and not system.is_symlink():
            show(system, root)
    mount("--rbind", "/proc", made(root / "proc"))
    for device in DEVICES:
        node = made(root / "dev") / device
        node.touch()
        mount("--bind", Path("/dev", device), node)
    if not python.is_relative_to("/usr"):
        show(python, root)


def show(folder: Path, root: Path) -> None:
    """Mount `folder` at the same path in `root`, read-only."""
    mount("--bind", "-o", "ro", folder, made(root / folder.relative_to("/")))


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def become(user: int, group: int) -> None:
    """Drop the privileges of root for good."""
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
