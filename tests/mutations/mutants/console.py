"""The console: console/."""

from typing import Final

from tests.mutations.mutants.base import CONSOLE, Mutant

MUTANTS: Final = (
    Mutant(
        "a viewer may act",
        "console/access.py",
        "if path not in FOR_EVERYBODY and not (visitor and visitor.may_act):",
        "if False:",
        CONSOLE,
    ),
    Mutant(
        "another site acts through a visitor's browser",
        "console/access.py",
        "if visitor is None or visitor.way is not Way.BEARER:",
        "if False:",
        CONSOLE,
    ),
    Mutant(
        "a page of a neighbouring site counts as one of the console",
        "console/access.py",
        'if site == "same-origin":',
        'if site and site.startswith("same-"):',
        CONSOLE,
    ),
    Mutant(
        "a wrong bearer token is made up for by a cookie",
        "console/access.py",
        '            raise _unknown("the bearer token is not valid", f\'{CHALLENGE}, '
        'error="invalid_token"\')\n',
        "",
        CONSOLE,
    ),
    Mutant(
        "a session never ends",
        "console/sessions.py",
        "if self._clock.now().timestamp() >= expires:",
        "if False:",
        CONSOLE,
    ),
    Mutant(
        "a session outlives its token",
        "console/users.py",
        "if user.name == name and hmac.compare_digest(fingerprint(user, key), mark)",
        "if user.name == name",
        CONSOLE,
    ),
    Mutant(
        "an assertion for another audience is good",
        "console/proxy.py",
        "audience=self._audience,",
        "audience=None,",
        CONSOLE,
    ),
    Mutant(
        "the log-in leads elsewhere",
        "console/pages/login.py",
        'is_path = target.startswith("/") and not target.startswith("//")',
        "is_path = True",
        CONSOLE,
    ),
    Mutant(
        "text of others is part of the page",
        "console/pages/render.py",
        "autoescape=True,",
        "autoescape=False,",
        CONSOLE,
    ),
)
