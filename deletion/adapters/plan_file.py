"""The plan file: YAML that a team writes. Errors name the line, the field and what was expected."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from deletion.adapters.http_api.spec import HttpSpec, UndoSpec
from deletion.adapters.mongo.spec import MongoSpec
from deletion.adapters.objects.spec import ObjectsSpec
from deletion.adapters.pace_spec import PaceSpec
from deletion.adapters.python_step import FOLDER, PythonSpec
from deletion.adapters.spec import Kind, OfOneKind, StepConnections, Strict
from deletion.errors import PlanError
from deletion.ids import PLANNED_SERVICE_PATTERN
from deletion.pace import Pace
from deletion.plan import Plan, Step, check, default_pace

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
_EXPECTED: Mapping[int | str, str] = {
    "service": "expected 3 to 63 characters of a-z, 0-9 and -, beginning with a letter and not "
    "ending with -",
    "name": "expected at most 120 letters, digits, ., - and _, beginning with a letter or digit",
}
_MISSING: Mapping[int | str, str] = {
    # A method has a default everywhere except in a compensation.
    "method": "expected, but it is missing: write the method that undoes the step, `method: POST`, "
    "PUT, PATCH or DELETE",
}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _OneStep(OfOneKind):
    """A step of one kind."""

    @property
    def kind(self) -> Kind:
        """The content of the one key that is given."""
        given: Kind = getattr(self, self.kind_name)
        return given


class CompensationSpec(_OneStep):
    """What undoes a step."""

    KINDS = ("http", "python")
    http: UndoSpec | None = None
    python: PythonSpec | None = None


class StepSpec(_OneStep):
    """One step. Exactly one of the keys in `KINDS` is given: it is the kind of the step."""

    KINDS = ("mongo", "objects", "http", "python")
    name: Name
    mongo: MongoSpec | None = None
    objects: ObjectsSpec | None = None
    http: HttpSpec | None = None
    python: PythonSpec | None = None
    pace: PaceSpec | None = None
    expect: Literal["nonzero"] | None = None
    point_of_no_return: bool = False
    compensation: CompensationSpec | None = None

    @model_validator(mode="after")
    def _lag_is_of_mongo(self) -> Self:
        pressure = self.pace.pressure if self.pace else None
        if pressure and pressure.replication_lag and self.mongo is None:
            raise ValueError("pressure: expected replication_lag in `mongo` steps only")
        return self

    def build(self, connections: StepConnections) -> Step:
        """The step this describes. Raises `PlanError`."""
        return self.kind.build(self.name, connections)

    def paces(self, step: Step, connections: StepConnections) -> Iterator[tuple[str, Pace]]:
        """Yield the name and the pace of the step if the plan gives it one."""
        if self.pace:
            uri = self.mongo.uri if self.mongo else None
            secret = uri.get_secret_value() if uri else None
            yield self.name, self.pace.build(default_pace(step), connections.connect, secret)


class PlanFile(Strict):
    """The checked content of the file; nothing is connected yet."""

    service: Annotated[str, Field(pattern=PLANNED_SERVICE_PATTERN)]
    steps: Annotated[tuple[StepSpec, ...], Field(strict=False)]
    _place: Callable[[Sequence[int | str]], str] | None = PrivateAttr(None)
    """Returns the file and line of a location in the plan; None if it was not read from a file."""

    @model_validator(mode="after")
    def _deletes_nothing_twice(self) -> "PlanFile":
        """Refuse two steps over the same documents: most likely one names the wrong ones."""
        for index, step in enumerate(self.steps):
            for earlier in self.steps[:index]:
                if step.mongo and earlier.mongo and step.mongo.is_over(earlier.mongo):
                    raise ValueError(
                        f"expected each step to delete other documents, but {earlier.name} and "
                        f"{step.name} delete the same"
                    )
        return self

    def build(self, connections: StepConnections) -> Plan:
        """The plan this describes. Raises `PlanError`, which names file, line and step."""
        steps: list[Step] = []
        undo: dict[str, Step] = {}
        paces: dict[str, Pace] = {}
        for number, spec in enumerate(self.steps):
            with self._located("steps", number):
                steps.append(spec.build(connections))
                paces.update(spec.paces(steps[-1], connections))
                if spec.compensation:
                    undo[spec.name] = spec.compensation.kind.build(spec.name, connections)
        with self._located("steps"):
            expected = frozenset(step.name for step in self.steps if step.expect)
            point = self.point_of_no_return
            return Plan(self.service, tuple(steps), point, undo, paces, expected)

    @contextmanager
    def _located(self, *location: int | str) -> Iterator[None]:
        """Name the file, the line and the service in a `PlanError` of the block."""
        try:
            yield
        except PlanError as error:
            place = f"{self._place(location)}: " if self._place else ""
            raise PlanError(f"{place}plan of {self.service}, {error}") from None

    @property
    def point_of_no_return(self) -> str | None:
        """The step marked as point of no return, or None. Raises `PlanError` for several."""
        marked = [step.name for step in self.steps if step.point_of_no_return]
        if len(marked) > 1:
            raise PlanError(
                f"expected one point of no return, found {' and '.join(marked)}", field="steps"
            )
        return marked[0] if marked else None

    def check(self) -> None:
        """Check the rules for the whole plan. Raises `PlanError`: see `deletion.plan.check`."""
        undone = [step.name for step in self.steps if step.compensation]
        check(self.service, [step.name for step in self.steps], self.point_of_no_return, undone)


def read_plan(path: Path, environ: Mapping[str, str] = os.environ) -> PlanFile:
    """Read and check `path`. `${NAME}` in any text is replaced by that environment variable.

    Raises `PlanError` with one line for each fault: `file:line: field: what was expected`.
    """
    try:
        document = YAML().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PlanError(f"{path} cannot be read: {error.reason}, expected UTF-8") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem).partition(" with value ")[0]  # the value may be a secret
        raise PlanError(f"{path}:{line}: not valid YAML, {problem}") from None
    except YAMLError as error:
        raise PlanError(f"{path}: not valid YAML, {error}") from None
    if unset := [_fault(path, document, *fault) for fault in _unset(document, environ)]:
        raise PlanError("\n".join(unset))
    try:
        plan = PlanFile.model_validate(_expanded(document, environ), context={FOLDER: path.parent})
        plan.check()
    except ValidationError as error:
        faults = (_fault(path, document, p["loc"], _said(p)) for p in error.errors())
        raise PlanError("\n".join(faults)) from None
    except PlanError as error:
        raise PlanError(_fault(path, document, (error.field,), error.expected)) from None
    plan._place = partial(_place, path, document)
    return plan


def _expanded(node: object, environ: Mapping[str, str]) -> object:
    """A copy as plain dicts and lists, with every `${NAME}` filled in."""
    if isinstance(node, Mapping):
        return {key: _expanded(value, environ) for key, value in node.items()}
    if isinstance(node, list):
        return [_expanded(value, environ) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: environ[found[1]], node)
    return node


def _unset(
    node: object, environ: Mapping[str, str], *at: int | str
) -> Iterator[tuple[Sequence[int | str], str]]:
    """Yield the location of each `${NAME}` that is not set, and the message about it."""
    inside = node.items() if isinstance(node, Mapping) else ()
    for key, value in enumerate(node) if isinstance(node, list) else inside:
        yield from _unset(value, environ, *at, key)
    names = _VARIABLE.findall(node) if isinstance(node, str) else ()
    for name in names:
        if name not in environ:
            yield at, f"the environment variable {name} is not set"


def _said(problem: ErrorDetails) -> str:
    if problem["type"] == "string_pattern_mismatch":
        return _EXPECTED.get(problem["loc"][-1], problem["msg"])
    if problem["type"] == "missing" and problem["loc"][-1] in _MISSING:
        return _MISSING[problem["loc"][-1]]
    if problem["type"] == "extra_forbidden":
        return f"not a known field{_known(problem['loc'])}"
    said = {
        "missing": "expected, but it is missing",
        "model_type": "expected fields, each with its value",
        "tuple_type": "expected a list",
    }
    return said.get(problem["type"], problem["msg"].removeprefix("Value error, "))


def _known(location: Sequence[int | str]) -> str:
    """The fields that are known at this location, to complete the error message."""
    match location:
        case ("steps", int(), _):
            others = [name for name in StepSpec.model_fields if name not in StepSpec.KINDS]
            return f", a step has one of {', '.join(StepSpec.KINDS)}, and {', '.join(others)}"
        case ("steps", int(), "compensation", _):
            return f", a compensation has one of {', '.join(CompensationSpec.KINDS)}"
    return ""


def _fault(path: Path, document: object, location: Sequence[int | str], expected: str) -> str:
    where = ".".join(map(str, location)) or "file"
    return f"{_place(path, document, location)}: {where}: {expected}"


def _place(path: Path, document: object, location: Sequence[int | str]) -> str:
    """The file, and the line of the deepest part of `location` that exists in it."""
    line, node = 1, document
    for part in location:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line = node.lc.item(part)[0] + 1
        else:
            break
        node = node[part]
    return f"{path}:{line}"
