"""`python -m gateway`: the gateway alone, with its settings from the environment."""

import sys

import uvloop

from deletion.adapters import logs
from deletion.adapters.settings import load
from deletion.errors import BotDeletionError, ConfigurationError
from gateway.main import run
from gateway.settings import GatewaySettings


def main() -> None:
    """Run until a signal. What is wrong is said on standard error: exit code 2 for a setting,
    which no second try will right, and 1 for everything else.
    """
    try:
        settings = load(GatewaySettings)
        logs.configure(settings.log_format)
        uvloop.run(run(settings))
    except (BotDeletionError, OSError) as error:
        print(f"gateway: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
