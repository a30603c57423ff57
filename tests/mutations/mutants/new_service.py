"""What a new service begins with: botdel/new_service/."""

from typing import Final

from tests.mutations.mutants.base import TEAMS, Mutant

NEW_SERVICE: Final = "botdel/new_service/command.py"
NEW_STEP: Final = "botdel/new_service/templates/step.py.template"

MUTANTS: Final = (
    Mutant(
        "a new service is written over what is there",
        NEW_SERVICE,
        "if path.exists() or path.is_symlink()]",
        "if False]",
        TEAMS,
    ),
    Mutant(
        "a new service is written among the files of something else",
        NEW_SERVICE,
        "and any(folder.iterdir())",
        "and False",
        TEAMS,
    ),
    Mutant(
        "any name is a service's",
        NEW_SERVICE,
        '    check(service, [f"{service}-files"])\n',
        "",
        TEAMS,
    ),
    Mutant(
        "a new service: its step has any service's name",
        "botdel/new_service/templates/plan.yaml.template",
        "{{service}}-files",
        "files",
        TEAMS,
    ),
    Mutant(
        "a new service: its tests print a warning",
        "botdel/new_service/templates/pytest.ini.template",
        "asyncio_default_fixture_loop_scope = function",
        "",
        TEAMS,
    ),
    Mutant(
        "a new service: a volume that is not mounted is a bot without files",
        NEW_STEP,
        "            if not any(entries):\n",
        "            if False:\n",
        TEAMS,
    ),
    Mutant(
        "a new service: a folder that is missing is a bot without files",
        NEW_STEP,
        '            raise PermanentError(f"{self.root} is not a folder: mount its volume, or create it")\n',
        "            return\n",
        TEAMS,
    ),
    Mutant(
        "a new service: a folder that is a link is followed",
        NEW_STEP,
        "if not stat.S_ISDIR(mode):",
        "if False:",
        TEAMS,
    ),
    Mutant(
        "a new service: a page is deleted behind a link",
        NEW_STEP,
        "            folder = self._folder(bot_id)\n            return sum(",
        "            folder = self.root / bot_id\n            return sum(",
        TEAMS,
    ),
    Mutant(
        "a new service: a link is followed",
        NEW_STEP,
        "        path.unlink()\n",
        "        path.resolve().unlink()\n",
        TEAMS,
    ),
    Mutant(
        "a new service: any folder is a bot's",
        NEW_STEP,
        "if BOT_ID.fullmatch(name) and any(",
        "if any(",
        TEAMS,
    ),
    Mutant(
        "a new service: a bot without files is a sample",
        NEW_STEP,
        "if BOT_ID.fullmatch(name) and any(self._names(name)))",
        "if BOT_ID.fullmatch(name))",
        TEAMS,
    ),
    Mutant(
        "a file in place of a new service's folder ends in an error of the system",
        NEW_SERVICE,
        "except (FileExistsError, NotADirectoryError):",
        "except PermissionError:",
        TEAMS,
    ),
)
