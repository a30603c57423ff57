"""Replaces itself with a program that ends when its parent does; `local.processes` uses it.

`python run_with_parent.py PARENT_PID PROGRAM ARGUMENT...`, run as a script, without site-packages.

On Linux the kernel is asked to send SIGKILL to this process as soon as its parent has died
(prctl(2), PR_SET_PDEATHSIG), which also covers a parent that was killed with SIGKILL; the request
outlasts exec(2). The kernel means the *thread* that started this process, so start it from a
thread that lives as long as the parent. On other systems the program simply runs.

The request is made here, not between fork and exec in the parent, where a forked child could wait
for ever for locks that other threads (gRPC's) hold.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Request the signal, where the system can send it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def main(parent: int, argv: list[str]) -> None:
    """Request the signal, then become `argv`. Exits with 127 if there is no such program."""
    end_with_parent()
    if os.getppid() != parent:
        sys.exit("the parent has died before this process was ready")
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
