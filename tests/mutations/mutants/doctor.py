"""What `botdel doctor` finds: botdel/doctor/."""

from typing import Final

from tests.mutations.mutants.base import Mutant

MUTANTS: Final = (
    Mutant(
        "the doctor misses a retention that was never applied",
        "botdel/doctor/indexes.py",
        "    if not exists:\n",
        "    if False:\n",
        ("unit",),
    ),
    Mutant(
        "doctor closes its connections under those who still use them",
        "botdel/doctor/findings.py",
        "            await asyncio.wait(checks)\n",
        "            pass\n",
        ("unit",),
    ),
    Mutant(
        "doctor calls right what it had nothing to compare with",
        "botdel/doctor/bots.py",
        "return [skipped(known.check, alone if is_all",
        "return [ok(known.check, alone if is_all",
        ("unit",),
    ),
    Mutant(
        "doctor asks for plans that it has",
        "botdel/doctor/bots.py",
        "alone if is_all else",
        "alone if False else",
        ("unit",),
    ),
    Mutant(
        "doctor asks for the plan of a service that is retired",
        "botdel/doctor/topology.py",
        "        if retired:\n",
        "        if False:\n",
        ("unit",),
    ),
    Mutant(
        "doctor does not see that a service is retired",
        "botdel/doctor/services.py",
        "for each in known if each.retired_at is not None",
        "for each in known if False",
        ("unit",),
    ),
    Mutant(
        "doctor asks an API about the bots of all others",
        "botdel/doctor/bots.py",
        "if isinstance(step, AnswerOnly):",
        "if False:",
        ("unit",),
    ),
    Mutant(
        "doctor does not compare a step that names no bots",
        "botdel/doctor/bots.py",
        "if isinstance(step, Sampled | Previewed):",
        "if isinstance(step, Sampled):",
        ("unit",),
    ),
    Mutant(
        "a step that is only asked for bots is called wrong without any of theirs",
        "botdel/doctor/bots.py",
        "if not known.names_bots:",
        "if False:",
        ("unit",),
    ),
    Mutant(
        "an error of a team's own step takes the command down",
        "botdel/doctor/findings.py",
        "except Exception as error:  # noqa: BLE001",
        "except BotDeletionError as error:",
        ("unit",),
    ),
    Mutant(
        "a look at a step that hangs never ends",
        "botdel/doctor/findings.py",
        "async with asyncio.timeout(seconds) as bound:",
        "async with asyncio.timeout(None) as bound:",
        ("unit",),
    ),
    Mutant(
        "one plan that cannot be read takes the doctor down",
        "botdel/doctor/plan_checks.py",
        "            findings.append(_unusable(str(path), error))",
        "            raise error",
        ("unit",),
    ),
    Mutant(
        "one plan that cannot be built takes the doctor down",
        "botdel/doctor/plan_checks.py",
        "            findings.append(_unusable(path, error))",
        "            raise error",
        ("unit",),
    ),
    Mutant(
        "a result that cannot be kept fails the doctor",
        "botdel/doctor/keeping.py",
        "    return warning(fault.check, detail, fault.remedy)",
        "    return fault",
        ("unit",),
    ),
    Mutant(
        "faults are left out before what is right",
        "deletion/doctor.py",
        "WORST_FIRST.index(findings[n].status)",
        "-WORST_FIRST.index(findings[n].status)",
        ("unit",),
    ),
    Mutant(
        "a command that deletes another team's subscription is at hand",
        "botdel/doctor/topology.py",
        "        if unused:\n",
        "        if True:\n",
        ("unit",),
    ),
)
