"""A team's own step class in a plan file: `python: "package.module:Class"`.

With options: `python: {class: "package.module:Class", options: {…}}`. The class's attribute
`Options`, a pydantic model, checks the options, and the step is `Class(name, options)`. Without
`Options` the step is `Class(name)`. The module is imported when the plan file is read.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, cast

from pydantic import (
    BaseModel,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from deletion.adapters.references import imported, is_reference
from deletion.adapters.spec import StepConnections, Strict
from deletion.errors import PlanError, with_type
from deletion.plan import Step

FOLDER: Final = "folder"
"""Key in the validation context: the folder of the plan file, where modules are found too."""

StepClass = Callable[..., Step]


def _loaded(reference: object, info: ValidationInfo) -> StepClass:
    """Return the class that `reference` names. Raises `ValueError` if it cannot be a step."""
    if not isinstance(reference, str) or not is_reference(reference):
        raise ValueError("expected package.module:Class")
    found = imported(reference, info.context[FOLDER] if info.context else Path.cwd())
    if not inspect.isclass(found):
        raise ValueError(f"expected a class, found {type(found).__name__}")
    if lacking := _lacking(found):
        raise ValueError(f"{found.__name__} cannot be a step: {lacking}")
    return cast("StepClass", found)


def _lacking(step: type[Any]) -> str | None:
    """Why a class cannot be a step; None if it can. See `deletion.plan.Step`."""
    delete, is_empty = (getattr(step, name, None) for name in ("delete", "is_empty"))
    if not callable(delete) or not callable(is_empty):
        return f"it has no method {'is_empty' if callable(delete) else 'delete'}"
    written = inspect.unwrap(delete)
    if inspect.iscoroutinefunction(written) or inspect.isgeneratorfunction(written):
        return "expected `delete` to be an async generator: `async def` with `yield`"
    if not inspect.iscoroutinefunction(inspect.unwrap(is_empty)):
        return "expected `is_empty` to be `async def`"
    calls = {delete: ("bot_id", "cursor"), is_empty: ("bot_id",)}
    for method, arguments in calls.items():
        if unfit := _unfit(method, "self", *arguments):
            return f"expected {method.__name__}({', '.join(arguments)}): {unfit}"
    return _lacking_options(step)


def _lacking_options(step: type[Any]) -> str | None:
    """What is wrong with the class's `Options` or its constructor; None if nothing is."""
    options = getattr(step, "Options", None)
    if options is None:
        unfit = _unfit(step, "name")
        return unfit and f"expected a constructor that takes (name): {unfit}"
    if not (inspect.isclass(options) and issubclass(options, BaseModel)):
        return "expected its `Options` to be a pydantic model"
    unfit = _unfit(step, "name", "options")
    return unfit and f"expected a constructor that takes (name, options): {unfit}"


def _unfit(function: Callable[..., object], *arguments: str) -> str | None:
    """Why `function` cannot be called with these arguments; None if it can."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        return str(error)
    return None


class PythonSpec(Strict):
    """A step class, and the options that its own model has checked."""

    type: Annotated[StepClass, PlainValidator(_loaded), Field(alias="class")]
    options: Annotated[BaseModel | None, Field(validate_default=True, repr=False)] = None

    @model_validator(mode="before")
    @classmethod
    def _may_be_its_name_alone(cls, given: object) -> object:
        return {"class": given} if isinstance(given, str) else given

    @field_validator("options", mode="plain")
    @classmethod
    def _fit_the_class(cls, given: object, info: ValidationInfo) -> BaseModel | None:
        if "type" not in info.data:
            return None  # the class itself was refused
        model: type[BaseModel] | None = getattr(info.data["type"], "Options", None)
        if model is None:
            if given is not None:
                raise ValueError("expected none, because the class has no `Options`")
            return None
        try:
            return model.model_validate({} if given is None else given)
        except ValidationError:
            raise  # pydantic adds its faults to those of the plan file
        except Exception as error:
            raise ValueError(with_type(error)) from error

    def build(self, name: str, _connections: StepConnections) -> Step:
        """Create the step. Raises `PlanError` when that fails, or the step has another name."""
        try:
            step = self.type(name) if self.options is None else self.type(name, self.options)
            found = step.name
        except PlanError:
            raise
        except Exception as error:
            said = f"cannot be made, {with_type(error)}"
            raise PlanError(said, field=f"step {name}") from error
        if found != name:
            raise PlanError(
                f"expected the step to have the name it is made with, found {found!r}",
                field=f"step {name}",
            )
        return step
