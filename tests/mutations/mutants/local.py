"""One machine: botdel/local/."""

from typing import Final

from tests.mutations.mutants.base import Mutant

MUTANTS: Final = (
    Mutant(
        "a default port that was taken meanwhile ends the start",
        "botdel/local/installation.py",
        "if not (port and found_taken(process)):",
        "if True:",
        ("unit",),
    ),
    Mutant(
        "servers of an earlier installation, which have ended, are used",
        "botdel/local/installation.py",
        'return None if address in os.environ.get(LOCAL_SERVERS, "").split() else address',
        "return address",
        ("unit",),
    ),
    Mutant(
        "a client of one machine sends the name of its token too",
        "botdel/local/installation.py",
        "return settings.gateway_tokens[0].token.get_secret_value()",
        'return self.env["BOTDEL_GATEWAY_TOKENS"].split(",")[0]',
        ("unit",),
    ),
    Mutant(
        "two processes of one machine have one default port",
        "botdel/local/installation.py",
        "if port not in {gateway, recovery})",
        "if port != gateway)",
        ("unit",),
    ),
    Mutant(
        "what the killed run of the demo did not count is not said",
        "botdel/local/proof.py",
        "if (uncounted := gone[service] - counted[service]) > 0:",
        "if (uncounted := 0):",
        ("unit",),
    ),
    Mutant(
        "a check of the demo cannot fail",
        "botdel/local/proof.py",
        "least <= seen <= most)",
        "True)",
        ("unit",),
    ),
    Mutant(
        "the demo lets an API that is down be called without end",
        "botdel/local/faults.py",
        "    while tried_at.total_seconds() <= seconds:\n        probes += 1\n",
        "    while tried_at.total_seconds() <= seconds:\n        probes += 9\n",
        ("unit",),
    ),
)
