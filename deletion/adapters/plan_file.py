"""The plan file: YAML that a team writes. Errors name the line, the field and what was expected."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from deletion.adapters.mongo import dead_letters, jobs
from deletion.adapters.mongo.connection import CALL_SECONDS, Client
from deletion.adapters.mongo.step import FieldType, MongoStep
from deletion.adapters.mongo.uri import checked
from deletion.errors import PlanError
from deletion.ids import SERVICE_PATTERN
from deletion.plan import Plan, check

Connect = Callable[[str | None], Client]
"""Returns the client of a URI; None means the default URI."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,119}$")]
PIPELINE_COLLECTIONS: Final = frozenset(
    {jobs.COLLECTION, jobs.WRITE_CHECKS, dead_letters.COLLECTION, "recovery_sweeps"}
)
"""They name bots too: a plan over them would delete, with each bot, what is known of it. Refused in
the pipeline's own database, whatever server a step's `uri` names: two URIs may name one server."""
SYSTEM_DATABASES: Final = frozenset({"admin", "config", "local"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MongoSpec(_Strict):
    """Documents of one collection whose `field` is the bot's id."""

    database: Annotated[str, Field(pattern=r'^[^/\\. "$\x00]{1,63}$')]
    collection: Annotated[str, Field(pattern=r"^[^$\x00]{1,200}$")]
    field: Annotated[str, Field(pattern=r"^[^$\x00]{1,200}$")]
    field_type: FieldType = "objectid"
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    uri: SecretStr | None = None

    @field_validator("database")
    @classmethod
    def _is_not_the_systems(cls, database: str) -> str:
        if database in SYSTEM_DATABASES:
            raise ValueError(f"expected a database of the service, {database!r} is MongoDB's own")
        return database

    @field_validator("collection")
    @classmethod
    def _is_the_services(cls, collection: str) -> str:
        if collection.startswith("system."):
            raise ValueError("expected a collection of the service, `system.` is MongoDB's own")
        return collection

    @field_validator("uri")
    @classmethod
    def _is_mongodb(cls, uri: SecretStr | None) -> SecretStr | None:
        if uri is None:
            return None
        if missing := _VARIABLE.search(uri.get_secret_value()):
            raise ValueError(f"the environment variable {missing[1]} is not set")
        return checked(uri)  # an empty one is refused: it is not the default's


class StepSpec(_Strict):
    """One step; the key beside `name` is its kind."""

    name: Name
    mongo: MongoSpec

    def build(self, connect: Connect, call_seconds: float = CALL_SECONDS) -> MongoStep:
        """The step this describes; each of its calls ends within `call_seconds`."""
        spec = self.mongo
        client = connect(None if spec.uri is None else spec.uri.get_secret_value())
        return MongoStep(
            self.name,
            client[spec.database][spec.collection],
            spec.field,
            spec.field_type,
            spec.batch_size,
            call_seconds,
        )


class PlanFile(_Strict):
    """The checked content of the file; nothing is connected yet."""

    service: Annotated[str, Field(pattern=SERVICE_PATTERN)]
    steps: Annotated[tuple[StepSpec, ...], Field(strict=False)]

    def build(
        self, connect: Connect, call_seconds: float = CALL_SECONDS, *, own_database: str = ""
    ) -> Plan:
        """The plan this describes; each call to data ends within `call_seconds`.

        Raises `PlanError`, also for a step over one of the pipeline's collections in
        `own_database`.
        """
        for name, spec in ((step.name, step.mongo) for step in self.steps):
            if spec.database == own_database and spec.collection in PIPELINE_COLLECTIONS:
                raise PlanError(
                    f"plan of {self.service}, step {name}: {spec.collection} in {spec.database} "
                    "(BOTDEL_MONGODB_DATABASE) holds the pipeline's own records, which no plan "
                    "deletes"
                )
        steps = tuple(step.build(connect, call_seconds) for step in self.steps)
        return Plan(self.service, steps)


def read_plan(path: Path, environ: Mapping[str, str] = os.environ) -> PlanFile:
    """Read and check `path`; `${NAME}` in any text is that environment variable.

    Raises `PlanError`, one line for each fault: `file:line: field: what was expected`.
    """
    try:
        document = YAML().load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read: {error}") from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = str(error.problem).partition(" with value ")[0]  # the value may be a secret
        raise PlanError(f"{path}:{line}: not valid YAML: {problem}") from None
    except YAMLError as error:
        raise PlanError(f"{path}: not valid YAML: {error}") from None
    try:
        plan = PlanFile.model_validate(_expanded(document, environ))
        check(plan.service, [step.name for step in plan.steps])
    except ValidationError as error:
        faults = (_fault(path, document, p["loc"], _said(p)) for p in error.errors())
        raise PlanError("\n".join(faults)) from None
    except PlanError as error:
        field, _, expected = str(error).partition(": ")
        raise PlanError(_fault(path, document, (field,), expected)) from None
    return plan


def _expanded(node: object, environ: Mapping[str, str]) -> object:
    """A copy as plain dicts and lists, with every `${NAME}` filled in."""
    if isinstance(node, Mapping):
        return {key: _expanded(value, environ) for key, value in node.items()}
    if isinstance(node, list):
        return [_expanded(value, environ) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: environ.get(found[1], found[0]), node)
    return node


def _said(problem: ErrorDetails) -> str:
    said = {
        "missing": "expected, but it is missing",
        "extra_forbidden": "not a known field",
        "model_type": "expected fields, each with its value",
        "tuple_type": "expected a list",
    }
    return said.get(problem["type"], problem["msg"].removeprefix("Value error, "))


def _fault(path: Path, document: object, location: Sequence[int | str], expected: str) -> str:
    """The fault, with the line of the deepest part of `location` that is in the file."""
    line, node = 1, document
    for part in location:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line = node.lc.item(part)[0] + 1
        else:
            break
        node = node[part]
    return f"{path}:{line}: {'.'.join(map(str, location)) or 'file'}: {expected}"
