"""Plans, and steps in Python: the files of deletion/adapters/ itself, and its alerts."""

from typing import Final

from tests.mutations.mutants.base import EDGE, TEAMS, Mutant

PLAN_FILE: Final = "deletion/adapters/plan_file.py"
SOURCE: Final = "deletion/adapters/plan_source.py"
PYTHON: Final = "deletion/adapters/python_step.py"
REFERENCES: Final = "deletion/adapters/references.py"

MUTANTS: Final = (
    Mutant(
        "a clock that is set back mutes alerts",
        "deletion/adapters/alerts/groups.py",
        "        now, elapsed = self._clock.now(), self._clock.monotonic()\n"
        "        latest = elapsed + self._quiet * LONGEST_WAIT\n"
        "        group = self._groups.setdefault(key, AlertGroup(*key, now, now, latest))\n"
        "        group.add(alert, now)\n"
        "        group.due = min(elapsed + self._quiet, group.latest)\n"
        "\n"
        "    def due_in(self) -> float:\n"
        '        """Seconds until the first group is due. Further alerts can only postpone that."""\n'
        "        return min(group.due for group in self._groups.values()) - self._clock.monotonic()\n",
        "        now, elapsed = self._clock.now(), self._clock.now().timestamp()\n"
        "        latest = elapsed + self._quiet * LONGEST_WAIT\n"
        "        group = self._groups.setdefault(key, AlertGroup(*key, now, now, latest))\n"
        "        group.add(alert, now)\n"
        "        group.due = min(elapsed + self._quiet, group.latest)\n"
        "\n"
        "    def due_in(self) -> float:\n"
        '        """Seconds until the first group is due. An alert can only put that off."""\n'
        "        return min(group.due for group in self._groups.values()) - self._clock.now().timestamp()\n",
        EDGE,
    ),
    Mutant(
        "idle connections are kept as long as some servers keep them",
        "deletion/adapters/unproxied.py",
        "IDLE_SECONDS: Final = 1.0",
        "IDLE_SECONDS: Final = 2.0",
        ("unit",),
    ),
    Mutant(
        "idle connections are kept as long as httpx keeps them",
        "deletion/adapters/unproxied.py",
        ", limits=_LIMITS,",
        ",",
        ("unit",),
    ),
    Mutant(
        "a file beside a plan replaces a module",
        REFERENCES,
        "sys.path.append(path)",
        "sys.path.insert(0, path)",
        TEAMS,
    ),
    Mutant(
        "a class without its methods is a step",
        PYTHON,
        "if not callable(delete) or not callable(is_empty):",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "a coroutine is taken for a generator",
        PYTHON,
        "if inspect.iscoroutinefunction(written) or inspect.isgeneratorfunction(written):",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "a read-back may block",
        PYTHON,
        "if not inspect.iscoroutinefunction(inspect.unwrap(is_empty)):",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "options that nobody reads are taken",
        PYTHON,
        "if given is not None:",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "options are not looked at when there are none",
        PYTHON,
        "Field(validate_default=True, repr=False)",
        "Field(repr=False)",
        TEAMS,
    ),
    Mutant(
        "options are printed",
        PYTHON,
        "Field(validate_default=True, repr=False)",
        "Field(validate_default=True)",
        TEAMS,
    ),
    Mutant(
        "a step keeps its checkpoints under another name",
        PYTHON,
        "if found != name:",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "Python comes before a file",
        SOURCE,
        "if named.exists() or not is_reference(reference):",
        "if not is_reference(reference):",
        TEAMS,
    ),
    Mutant(
        "what only the built plan shows has no file and no line",
        PLAN_FILE,
        'place = f"{self._place(location)}: " if self._place else ""',
        'place = ""',
        ("unit",),
    ),
    Mutant(
        "a pace that is given in part is as for a database",
        PLAN_FILE,
        "self.pace.build(default_pace(step), connections",
        "self.pace.build(Pace(), connections",
    ),
)
