"""`botdel new-service NAME`: writes a plan, a step with its tests, and a Dockerfile."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

from botdel.terminal import console, printable
from deletion import __version__
from deletion.errors import ConfigurationError
from deletion.plan import check

TEMPLATES: Final = {
    "plan.yaml": "plan.yaml",
    "pytest.ini": "pytest.ini",
    "step.py": "{{module}}_step.py",
    "test_step.py": "test_{{module}}_step.py",
    "Dockerfile": "Dockerfile",
}
"""The name of each template, without `.template`, and the name of the file it becomes."""
_PLACE: Final = re.compile(r"\{\{(\w+)\}\}")

NEXT: Final = """
Next:
  cd {folder}
  python -m pytest
The tests pass now; they need bot-deletion-pipeline[testing]. In {module}_step.py, delete your own
data instead of files, and run them again. Then:
  export {variable}_ROOT=/srv/{service}
  botdel topology apply --plan plan.yaml
  botdel plan check plan.yaml
The first run of `topology apply` must say that the subscription is `created`;
if it is `in place`, see the guide, 6. The consumer deletes as soon as it starts, also for the
requests of the past 31 days, which the topic keeps: start it only if the check found nothing wrong.
  botdel consumer --plan plan.yaml --port 0
docs/add-a-service.md explains each step. Other services and the gateway stay as they are."""


def new_service(service: str, folder: Path | None) -> None:
    """Write the files of `service` into `folder`, by default `./NAME`, and print the next steps.

    Raises `ConfigurationError`, and writes nothing, if the name is not valid for a service, one of
    the files exists already, `folder` is a file, or `./NAME` is the folder of something else.
    """
    check(service, [f"{service}-files"])
    folder = folder or _own(Path(service))
    module = service.replace("-", "_")
    words = {
        "service": service,
        "module": module,
        "Class": "".join(map(str.capitalize, service.split("-"))),
        "VARIABLE": module.upper(),
        "version": __version__,
    }
    written = _write(folder, {_filled(name, words): text for name, text in _texts(words).items()})
    out = console()
    for path in written:
        out.print(printable(f"wrote {path}"))
    out.print(
        NEXT.format(folder=folder, module=module, service=service, variable=words["VARIABLE"])
    )


def _own(folder: Path) -> Path:
    """Return `./NAME`, which nobody has asked for. Refuses it if it is that of something else."""
    if folder.is_dir() and not (folder / "plan.yaml").exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"nothing was written, because the folder {folder} is not empty; "
            "use --directory to name another, or to write there all the same"
        )
    return folder


def _texts(words: dict[str, str]) -> dict[str, str]:
    """Return the text of each file, by its name."""
    folder = files("botdel.new_service") / "templates"
    return {
        target: _filled((folder / f"{name}.template").read_text(encoding="utf-8"), words)
        for name, target in TEMPLATES.items()
    }


def _filled(text: str, words: dict[str, str]) -> str:
    """`text` with each `{{word}}` replaced."""
    return _PLACE.sub(lambda place: words[place[1]], text)


def _write(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write the files and return their paths. Writes none of them if one exists already."""
    paths = {folder / name: text for name, text in texts.items()}
    if there := [str(path) for path in paths if path.exists() or path.is_symlink()]:
        raise ConfigurationError(f"nothing was written, because it exists: {', '.join(there)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ConfigurationError(f"expected a folder to write to, found a file: {folder}") from None
    for path, text in paths.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    return list(paths)
