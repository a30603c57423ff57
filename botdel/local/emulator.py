"""Google's Pub/Sub emulator: the real protocol on this machine, everything kept in memory.

The `gcloud` command is only used to find the emulator. If it started the emulator, the Java program
would go on running after a SIGTERM to `gcloud`.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import httpx

from botdel.local.processes import ChildProcess
from botdel.local.server import LocalBroker, OnLine
from deletion.adapters.unproxied import unproxied
from deletion.errors import ConfigurationError

JAR: Final = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar"
"""Where the emulator is below the root of a Google Cloud SDK."""
USUAL_ROOTS: Final = (
    Path("/usr/lib/google-cloud-sdk"),
    Path("/opt/google-cloud-sdk"),
    Path.home() / "google-cloud-sdk",
    Path("/snap/google-cloud-cli/current"),
    Path("/opt/homebrew/share/google-cloud-sdk"),
    Path("/usr/local/share/google-cloud-sdk"),
    Path("/opt/homebrew/Caskroom/google-cloud-sdk/latest/google-cloud-sdk"),
    Path("/usr/local/Caskroom/google-cloud-sdk/latest/google-cloud-sdk"),
)
MIN_JAVA: Final = 17
JAVA_WITHIN: Final = 20.0
"""Seconds for `java -version` to answer."""
QUICK_COMPILER: Final = "-XX:TieredStopAtLevel=1"
"""Java's quick compiler only. On two cores the emulator publishes and delivers as fast as with the
optimising one, and takes about 40 % less CPU time."""
HTTP_WITHIN: Final = 2.0
"""Seconds for one answer to a readiness probe of the emulator."""

INSTALL_EMULATOR: Final = """\
  Debian, Ubuntu: apt-get install google-cloud-cli-pubsub-emulator openjdk-17-jre-headless
  Homebrew:       brew install --cask google-cloud-sdk && gcloud components install pubsub-emulator
  any gcloud:     gcloud components install pubsub-emulator
or set CLOUDSDK_ROOT to the folder of a Google Cloud SDK that has it."""
INSTALL_JAVA: Final = """\
  Debian, Ubuntu: apt-get install openjdk-17-jre-headless
  Homebrew:       brew install openjdk@17
or set JAVA_HOME to the folder of one."""


class PubSubEmulator(LocalBroker):
    """The emulator as a process. It forgets topics, subscriptions and messages when it ends.

    Raises ConfigurationError if it or Java is not installed; the remedy says how to install it.
    """

    described = "Google's Pub/Sub emulator"
    keeps = False

    def __init__(self, port: int | None = None, on_line: OnLine | None = None) -> None:
        super().__init__(port, on_line)
        self._jar = find_emulator()
        self._java = find_java()

    def command(self, port: int) -> list[str | Path]:
        serve = ("-jar", self._jar, "--host=127.0.0.1", f"--port={port}")
        return [self._java, QUICK_COMPILER, *serve]

    async def answers(self, process: ChildProcess, port: int) -> bool:
        if not any(line.endswith(f"listening on {port}") for line in process.lines):
            return False
        async with unproxied(timeout=HTTP_WITHIN) as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{port}/")
            except httpx.TransportError:
                return False
        return answer.text.strip() == "Ok"


def find_emulator() -> Path:
    """Return the emulator's jar: the newest in the first SDK that has one.

    Searches CLOUDSDK_ROOT alone if it is set; otherwise the SDK of the `gcloud` on the PATH, then
    the usual folders. Raises ConfigurationError if there is none.
    """
    roots = list(_sdk_roots())
    for root in roots:
        if jars := sorted(root.glob(JAR), key=_version):
            return jars[-1]
    looked = "\n".join(f"  {root}" for root in roots)
    chosen = os.environ.get("CLOUDSDK_ROOT")
    where = f" below CLOUDSDK_ROOT={chosen}" if chosen else ""
    raise ConfigurationError(
        f"{PubSubEmulator.described} is not installed{where}",
        f"to install it:\n{INSTALL_EMULATOR}\nThese folders were searched:\n{looked}",
    )


def find_java() -> Path:
    """Return the `java` of JAVA_HOME or, if that is not set, the one on the PATH.

    Raises ConfigurationError if there is none, or it is older than MIN_JAVA.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        where = f"below JAVA_HOME={home}" if home else "on the PATH"
        raise _java_needed(f"there is no `java` {where}")
    found = _java_release(java)
    if found < MIN_JAVA:
        raise _java_needed(f"{java} is " + (f"Java {found}" if found else "no working Java"))
    return Path(java)


def _sdk_roots() -> Iterator[Path]:
    if chosen := os.environ.get("CLOUDSDK_ROOT"):
        yield Path(chosen).expanduser()
        return
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parents[1]
    yield from USUAL_ROOTS


def _version(jar: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", jar.name)]


@cache
def _java_release(java: str) -> int:
    """Return the feature release: 17 for `17.0.15`, 8 for `1.8.0_402`; 0 if it is not known."""
    try:
        told = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=JAVA_WITHIN, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    release = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    return int(release.group(1)) if release else 0


def _java_needed(found: str) -> ConfigurationError:
    return ConfigurationError(
        f"{PubSubEmulator.described} needs Java {MIN_JAVA} or newer, but {found}",
        f"to install it:\n{INSTALL_JAVA}",
    )
