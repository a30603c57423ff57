"""What every process shares: deletion/process/."""

from typing import Final

from tests.mutations.mutants.base import EDGE, UNIT, Mutant

CONNECTIONS: Final = "deletion/process/http_connections.py"
TOKENS: Final = "deletion/process/tokens.py"
BOUNDED_HTTP: Final = "deletion/process/bounded_http.py"

MUTANTS: Final = (
    Mutant(
        "HEAD is routed as HEAD, for which there are no routes",
        "deletion/process/head.py",
        '"method": GET} if is_head else scope',
        '"method": HEAD} if is_head else scope',
        EDGE,
    ),
    Mutant(
        "an error of a command acts on the terminal",
        "deletion/process/run.py",
        'escaped(f"botdel: {error}{advice(error)}", keep="\\n\\t")',
        'f"botdel: {error}"',
        ("unit",),
    ),
    Mutant(
        "a head has no bound",
        BOUNDED_HTTP,
        "            if room <= 0:",
        "            if False:",
        EDGE,
    ),
    Mutant(
        "a head is counted anew with each piece",
        BOUNDED_HTTP,
        "self._unparsed += len(piece)",
        "self._unparsed = len(piece)",
        EDGE,
    ),
    Mutant(
        "a half-sent request is held for ever",
        BOUNDED_HTTP,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "a client loses its time while the application works",
        BOUNDED_HTTP,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if self._in_head and self._timer is None and not self._done_reading:",
        EDGE,
    ),
    Mutant(
        "a connection that asks nothing is held for ever",
        BOUNDED_HTTP,
        "            self._among.waits(self)\n            self._start_timer(self._bounds.seconds)\n        else:",
        "            self._among.waits(self)\n        else:",
        EDGE,
    ),
    Mutant(
        "a body may trickle in for ever after its answer",
        BOUNDED_HTTP,
        "if self.transport.is_closing() or not self._in_head:",
        "if self.transport.is_closing():",
        EDGE,
    ),
    Mutant(
        "an answer that is not read is held for ever",
        BOUNDED_HTTP,
        "        super().pause_writing()\n        self._among.waits(self)\n        self._start_timer(self._bounds.seconds)",
        "        super().pause_writing()\n        self._among.waits(self)",
        EDGE,
    ),
    Mutant(
        "a byte buys a half-sent request more time",
        BOUNDED_HTTP,
        "if self._in_head and self._unparsed and self._timer is None and not self._done_reading:",
        "if self._in_head and self._unparsed and not self._done_reading and not self._stop_timer():",
        EDGE,
    ),
    Mutant(
        "connections have no bound",
        CONNECTIONS,
        "if len(self._open) >= self.bounds.connections:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "whoever holds the connections keeps others out",
        CONNECTIONS,
        "if not self._waiting:",
        "if True:",
        EDGE,
    ),
    Mutant(
        "a connection with a request under way makes room",
        CONNECTIONS,
        '"""`connection` has a request under way."""\n        self._waiting.pop(connection, None)',
        '"""`connection` has a request under way."""',
        EDGE,
    ),
    Mutant(
        "requests sent ahead have no bound",
        BOUNDED_HTTP,
        "if len(ahead) > self._bounds.head_bytes:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "requests sent ahead are parsed at once",
        BOUNDED_HTTP,
        "if self._answering and self._in_head:",
        "if False:",
        EDGE,
    ),
    Mutant(
        "requests sent ahead are forgotten",
        BOUNDED_HTTP,
        "elif self._ahead:",
        "elif False:",
        EDGE,
    ),
    Mutant(
        "headers have no bound",
        BOUNDED_HTTP,
        'raise ValueError("too many headers")',
        "pass",
        EDGE,
    ),
    Mutant(
        "headers of one request count for the next",
        BOUNDED_HTTP,
        "self._in_head, self._unparsed, self._headers = False, 0, 0",
        "self._in_head, self._unparsed = False, 0",
        EDGE,
    ),
    Mutant(
        "a body that nobody has read is held",
        BOUNDED_HTTP,
        "            self.cycle.body.clear()  # the part that nobody has read\n",
        "",
        EDGE,
    ),
    Mutant(
        "comparing tokens ends with the first that holds",
        TOKENS,
        "names = [name for name, token in self._tokens if hmac.compare_digest(offered, token)]",
        "names = [n for n in [next((n for n, t in self._tokens if hmac.compare_digest(offered, t)), '')] if n]",
        EDGE,
    ),
    Mutant(
        "a limit on open files is raised to what some systems refuse",
        "deletion/process/open_files.py",
        "min(hard, ENOUGH)",
        "hard",
        UNIT,
    ),
    Mutant(
        "the garbage collector looks at what the start made",
        "deletion/process/garbage.py",
        "    gc.freeze()\n",
        "",
        UNIT,
    ),
)
