"""The console: console/."""

from typing import Final

from tests.mutations.mutants.base import CONSOLE, Mutant

MUTANTS: Final = (
    Mutant(
        "a program gets a page",
        "console/accept.py",
        "return html > 0 and all(weights.get(each, 0.0) <= html for each in JSON)",
        "return html > 0",
        CONSOLE,
    ),
    Mutant(
        "a person whose form is refused gets JSON",
        "console/access.py",
        "            return self._shown(request, problem)\n        if is_poll(request):",
        "            return problem.response()\n        if is_poll(request):",
        CONSOLE,
    ),
    Mutant(
        "the console asks for no reason",
        "console/pages/acting.py",
        '    if not reason.strip():\n        return "A reason is required."\n',
        "",
        CONSOLE,
    ),
    Mutant(
        "a filter of dead letters chooses those that were dealt with too",
        "console/pages/acting.py",
        "status=DeadLetterStatus.NEW,",
        "status=None,",
        CONSOLE,
    ),
    Mutant(
        "a viewer is offered a retry",
        "console/templates/job.html",
        "{% if may_retry and visitor.may_act %}",
        "{% if may_retry %}",
        CONSOLE,
    ),
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
        "deletion/process/signed_tokens.py",
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
        "control characters of others reach the page",
        "console/pages/render.py",
        'return value if isinstance(value, Markup) else escaped(str(value), keep="\\n\\t")',
        "return value",
        CONSOLE,
    ),
    Mutant(
        "a browser keeps what a page showed",
        "console/headers.py",
        'headers.setdefault("Cache-Control", "no-store")',
        "pass",
        CONSOLE,
    ),
    Mutant(
        "a page that has not changed is sent again",
        "console/pages/render.py",
        'if mark in request.headers.get("if-none-match", ""):',
        "if False:",
        CONSOLE,
    ),
    Mutant(
        "each browser reads the database by itself",
        "console/snapshots.py",
        "kept = self._kept.setdefault(key, Kept(read, self._seconds, self._monotonic))",
        "kept = Kept(read, self._seconds, self._monotonic)\n        self._kept[key] = kept",
        CONSOLE,
    ),
    Mutant(
        "a slow count holds up the overview",
        "console/overview.py",
        "await asyncio.wait({counting}, timeout=PART_SECONDS)",
        "await asyncio.wait({counting})",
        CONSOLE,
    ),
    Mutant(
        "a list begins again with the record that it ended with",
        "console/pages/asked.py",
        "ends = [place for each in self.rows if (place := where(each))]",
        "ends = [place for each in found if (place := where(each))]",
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
