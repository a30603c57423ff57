"""Forks programs from one process that has imported the modules of a release.

`python fork_server.py SOCKET`, with that release on PYTHONPATH. It prints `LISTENING`, and then
runs one program for each connection to the Unix socket. A client sends the file that the program
prints to, what to run as one JSON object, and end of file; it gets the program's process id, and
the exit code when the program has ended. Only the standard library is used: the code that runs here
is not today's.
"""

import ctypes
import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
from importlib import import_module
from typing import Any, Final, NoReturn

LISTENING: Final = "listening"
PRELOADED: Final = (
    "botdel.dead_letters.command",
    "botdel.doctor.command",
    "botdel.jobs",
    "botdel.jobs_retry",
    "botdel.topology",
    "consumers.main",
    "gateway.main",
    "recovery.client",
    "recovery.main",
    "recovery.mongo_sweeps",
)
"""Modules that every release has, and that its programs need."""
PR_SET_PDEATHSIG: Final = 1

Request = dict[str, Any]


def end_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def next_program(listener: socket.socket) -> Request:
    """Serve until this process is killed; return, in each process that is to become a program, what
    it is to run.
    """
    keepers: list[int] = []
    while True:
        connection, _ = listener.accept()
        keepers = [keeper for keeper in keepers if os.waitpid(keeper, os.WNOHANG) == (0, 0)]
        if keeper := os.fork():
            keepers.append(keeper)
            connection.close()
            continue
        listener.close()
        end_with_parent()
        request, output = received(connection)
        if program := os.fork():
            os.close(output)
            keep(program, connection)
        connection.close()
        stand_alone(output)
        return request


def received(connection: socket.socket) -> tuple[Request, int]:
    """What a client sends: what to run, and the file that it prints to."""
    _, [output], _, _ = socket.recv_fds(connection, 1, 1)
    with connection.makefile("rb") as sent:
        return json.load(sent), output


def keep(program: int, connection: socket.socket) -> NoReturn:
    """Tell the client the id of a program, and its exit code once it has ended; then exit."""
    connection.sendall(b"%d\n" % program)
    _, status = os.waitpid(program, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def stand_alone(output: int) -> None:
    """Lead a session, with nothing to read, and print to `output`."""
    os.setsid()
    end_with_parent()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(given, number)
    os.close(nothing)
    os.close(output)


def become(program: str, arguments: list[str], env: dict[str, str], cwd: str) -> None:
    """Run a module, or a script, whose name ends in .py."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, listen, and in each program that is asked for, run it."""
    for name in PRELOADED:
        import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("an import has started a thread, which a fork would lose")
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        print(LISTENING, flush=True)
        request = next_program(listener)
    become(**request)


if __name__ == "__main__":
    main()
