"""Forks programs from one process that has imported what they need.

`python fork_server.py FILE MODULE…` imports the modules, and then runs one program for each request
from the Unix socket whose file descriptor is FILE, until its other end is closed. A request is one
byte with two file descriptors: the program's output, and the client's socket, which holds one line
of JSON: what to run. The client gets the line `begun PID` once the program leads a session of
its own, and `ended CODE` when it has ended. A program whose client hangs up is killed. Only the
standard library is used, because the modules may be those of a release.
"""

import atexit
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any, Final, NoReturn

BEGUN: Final = "begun"
ENDED: Final = "ended"
PR_SET_PDEATHSIG: Final = 1

Request = dict[str, Any]


def next_program(requests: socket.socket) -> Request:
    """Fork a process for each request. Returns, in the new process, what it is to run; raises
    SystemExit in the server when there are no more requests.
    """
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes)
    clients: dict[int, socket.socket] = {}
    while True:
        watched: list[Any] = [requests, woken, *clients.values()]
        ready, _, _ = select.select(watched, [], [])
        if woken in ready:
            os.read(woken, select.PIPE_BUF)
            tell_codes(clients)
        kill_unwanted(clients, ready)
        if requests not in ready:
            continue
        _, files, _, _ = socket.recv_fds(requests, 1, 2)
        if not files:
            sys.exit()
        output, client = files[0], socket.socket(fileno=files[1])
        request = received(client)
        if program := os.fork():
            os.close(output)
            clients[program] = client
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for each in (requests, *clients.values()):
            each.close()
        os.close(woken)
        os.close(wakes)
        begin(client, output)
        return request


def tell_codes(clients: dict[int, socket.socket]) -> None:
    """Reap the programs that have ended, and send each exit code to its client."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            program, status = ended
            code = os.waitstatus_to_exitcode(status)
            if client := clients.pop(program, None):
                with client, suppress(OSError):
                    client.sendall(f"{ENDED} {code}\n".encode())


def kill_unwanted(clients: dict[int, socket.socket], ready: list[Any]) -> None:
    """Kill the programs whose clients have hung up. A client sends nothing after its request, so
    one that is readable has.
    """
    for program in [program for program, client in clients.items() if client in ready]:
        os.kill(program, signal.SIGKILL)
        clients.pop(program).close()


def received(client: socket.socket) -> Request:
    """What a client wants to run."""
    with client.makefile("rb") as sent:
        request: Request = json.loads(sent.readline())
    return request


def begin(client: socket.socket, output: int) -> None:
    """Lead a session, with nothing to read, and print to `output`; tell the client. On Linux the
    program is killed when the server ends.
    """
    os.setsid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for given, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(given, number)
    os.close(nothing)
    os.close(output)
    with client:
        client.sendall(f"{BEGUN} {os.getpid()}\n".encode())


def become(program: str, arguments: list[str], env: dict[str, str], cwd: str) -> None:
    """Run a module as `python -m` does, or a script, whose name ends in .py."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
        return
    if not sys.flags.safe_path:
        sys.path.insert(0, cwd)
    runpy.run_module(program, run_name="__main__", alter_sys=True)


def ended(request: Request) -> int:
    """Run a program to its end; return the exit code that Python would exit with."""
    try:
        become(**request)
    except SystemExit as exit:
        if exit.code is None or isinstance(exit.code, int):
            return exit.code or 0
        print(exit.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - it is shown, and ends the program
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """Exit as Python does, without its cleanup: that would copy most of the server's memory."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import the modules and serve; in each forked process, run its program."""
    for name in sys.argv[2:]:
        import_module(name)
    if threading.active_count() > 1:
        raise RuntimeError("an import has started a thread, which a fork would lose")
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        request = next_program(requests)
    leave(ended(request))


if __name__ == "__main__":
    main()
