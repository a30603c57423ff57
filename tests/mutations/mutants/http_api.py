"""Calls of external APIs: deletion/adapters/http_api/."""

from typing import Final

from tests.mutations.mutants.base import HTTP, Mutant

CALL_STATE: Final = "deletion/adapters/http_api/call_state.py"
HTTP_CLIENT: Final = "deletion/adapters/http_api/client.py"
HTTP_SPEC: Final = "deletion/adapters/http_api/spec.py"
HTTP_STEP: Final = "deletion/adapters/http_api/step.py"
ENDPOINT: Final = "deletion/adapters/http_api/endpoint.py"
VERIFIED: Final = "deletion/adapters/http_api/verified_step.py"

MUTANTS: Final = (
    Mutant(
        "a read-back that a wrong path would answer too is not doubted",
        VERIFIED,
        "if answer.status != NOT_FOUND or NOT_FOUND not in self.verify.gone:",
        "if True:",
        HTTP,
    ),
    Mutant(
        "a read-back waits until a deletion is done",
        HTTP_STEP,
        "async with self.verify.gate.permit(reads=True):\n            return not",
        "async with self.verify.gate.permit():\n            return not",
        HTTP,
    ),
    Mutant(
        "the key of a call is not recorded before it",
        HTTP_STEP,
        "            state = CallState.begun()\n            yield Batch(0, state.cursor)\n",
        "            state = CallState.begun()\n",
        HTTP,
    ),
    Mutant(
        "each try of a call has a key of its own",
        HTTP_STEP,
        '"Idempotency-Key": state.key}',
        '"Idempotency-Key": CallState.begun().key}',
        HTTP,
    ),
    Mutant(
        "a poll goes to whatever host the checkpoint names",
        HTTP_STEP,
        "if location and same_origin(location, self.endpoint.url):",
        "if location:",
        HTTP,
    ),
    Mutant(
        "what was accepted has for ever to be done",
        HTTP_STEP,
        "return since is not None and self.clock.now() - since > self.done_within",
        "return False",
        HTTP,
    ),
    Mutant(
        "a host may forget what it has accepted for ever",
        HTTP_STEP,
        "if state.location is None and state.forgotten > MOST_FORGOTTEN:",
        "if state.location is None and state.forgotten > 8:",
        HTTP,
    ),
    Mutant(
        "how often a host has forgotten begins anew with each run",
        CALL_STATE,
        'every["forgotten"] = self.forgotten or None',
        'every["forgotten"] = None',
        HTTP,
    ),
    Mutant(
        "a poll that finds no permit parks the job of a deletion under way",
        HTTP_STEP,
        "        except Busy:\n            if self._is_late(state):\n                raise\n",
        "        except Busy:\n            raise\n",
        HTTP,
    ),
    Mutant(
        "a poll that finds no permit is progress",
        HTTP_STEP,
        "return Outcome(state, wait=_pause(None, polls))",
        "return Outcome(state.polled(VERIFY), wait=_pause(None, polls))",
        HTTP,
    ),
    Mutant(
        "a deletion is late though nobody has looked",
        HTTP_STEP,
        "            if self._is_late(state):\n                raise\n            return Outcome(state, wait=_pause(None, polls))\n",
        "            return self._working(state, polls)\n",
        HTTP,
    ),
    Mutant(
        "a poll that was answered is no progress",
        CALL_STATE,
        "return replace(self, location=location, polls=self.polls + 1)",
        "return replace(self, location=location)",
        HTTP,
    ),
    Mutant(
        "the time of what was forgotten begins anew",
        CALL_STATE,
        "return replace(self, location=None, forgotten=self.forgotten + 1)",
        "return replace(self, location=None, since=None, forgotten=self.forgotten + 1)",
        HTTP,
    ),
    Mutant(
        "that a host has forgotten too often is no checkpoint",
        HTTP_STEP,
        "                yield Batch(0, outcome.state.cursor)\n                self._check_forgotten(outcome.state)\n",
        "                self._check_forgotten(outcome.state)\n                yield Batch(0, outcome.state.cursor)\n",
        HTTP,
    ),
    Mutant(
        "a deletion holds no permit",
        HTTP_STEP,
        "async with self.endpoint.gate.permit():",
        "if True:",
        HTTP,
    ),
    Mutant(
        "an answer that does not say is taken for gone",
        ENDPOINT,
        "return True if httpx.codes.is_success(answer.status) else None",
        "return httpx.codes.is_success(answer.status)",
        HTTP,
    ),
    Mutant(
        "a redirect leads anywhere",
        HTTP_CLIENT,
        "if _origin(joined) != _origin(base) or joined.userinfo:",
        "if joined.userinfo:",
        HTTP,
    ),
    Mutant(
        "an error quotes what was sent",
        HTTP_CLIENT,
        'raise HttpUnavailable(f"{what} failed ({type(error).__name__})") from None',
        'raise HttpUnavailable(f"{what} failed: {error}") from None',
        HTTP,
    ),
    Mutant(
        "a date to wait for is compared with our clock alone",
        HTTP_CLIENT,
        'now = _date(headers.get("Date", "")) or self._clock.now()',
        "now = self._clock.now()",
        HTTP,
    ),
    Mutant(
        "a wait that a host asks for has no bound",
        HTTP_CLIENT,
        "return min(float(value), LONGEST_RETRY_AFTER)",
        "return float(value)",
        HTTP,
    ),
    Mutant(
        "a URL need not name the bot",
        HTTP_SPEC,
        "if BOT_ID not in parts.path + parts.query:",
        "if False:",
        HTTP,
    ),
    Mutant(
        "secrets go over plain http",
        HTTP_SPEC,
        'if parts.scheme == "http" and not is_loopback(host):',
        "if False:",
        HTTP,
    ),
    Mutant(
        "an undo whose method was forgotten deletes",
        HTTP_SPEC,
        "    method: Method\n\n",
        "",
        HTTP,
    ),
    Mutant(
        "an undo that is done already is refused",
        HTTP_SPEC,
        'if not isinstance(given, Mapping) or given.get("method") == "DELETE":',
        "if not isinstance(given, Mapping):",
        HTTP,
    ),
    Mutant(
        "an undo that finds nothing is taken for done",
        HTTP_SPEC,
        'return {"gone": (), **given}',
        "return given",
        HTTP,
    ),
    Mutant(
        "headers go to the host that reads back, whichever it is",
        HTTP_SPEC,
        "there.headers if there.headers is not None or not same else self.headers",
        "there.headers if there.headers is not None else self.headers",
        HTTP,
    ),
)
