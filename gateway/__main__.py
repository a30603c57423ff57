"""`python -m gateway`: the gateway alone, with its settings from the environment."""

import sys

import uvloop

from deletion.adapters import logs
from deletion.adapters.settings import load
from deletion.errors import BotDeletionError
from gateway.main import run
from gateway.settings import GatewaySettings


def main() -> None:
    """Run until a signal. What is wrong goes to standard error, with exit code 1."""
    try:
        settings = load(GatewaySettings)
        logs.configure(settings.log_format)
        uvloop.run(run(settings))
    except (BotDeletionError, OSError) as error:
        sys.exit(f"gateway: {error}")


if __name__ == "__main__":
    main()
