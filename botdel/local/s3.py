"""An S3 server for one machine: moto's server in its own process, with its objects in memory.

moto is not thread-safe, so one request is served at a time.
"""

import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from botdel.local.server import HttpServer

KEY, SECRET = "AKIALOCALALONE", "a-secret-of-this-machine-alone"
REGION: Final = "us-east-1"

Environ = dict[str, Any]
Start = Callable[..., Any]
App = Callable[[Environ, Start], Iterable[bytes]]


def moto_app() -> App:
    """Return moto's S3, which must be called by one thread at a time."""
    app: App = create_backend_app("s3")
    return app


def serve(app: App, port: int = 0) -> None:
    """Print the URL, and serve on 127.0.0.1 with a thread for each connection. Never returns."""

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Log nothing: a line for each request helps nobody."""

    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet)
    print(f"serving http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def credentials(url: str) -> dict[str, str]:
    """Return the environment variables that a client of the server at `url` needs."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_S3": url,  # takes precedence
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
    }


class LocalS3(HttpServer):
    """The server as a process. Its objects are gone when it ends."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__("s3", None, on_line)

    def command(self, port: int) -> list[str | Path]:
        return [sys.executable, "-m", "botdel.local.s3", str(port)]


def _one_at_a_time(app: App) -> App:
    lock = threading.Lock()

    def locked(environ: Environ, start: Start) -> Iterable[bytes]:
        with lock:
            return list(app(environ, start))

    return locked


if __name__ == "__main__":
    serve(_one_at_a_time(moto_app()), int(sys.argv[1]))
