"""Clients of servers without TLS, which need not load the certificates of every authority."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import botocore
import pytest

END: Final = "-----END CERTIFICATE-----\n"


@contextmanager
def one_root(folder: Path) -> Iterator[None]:
    """Give this process one authority, in a file in `folder`: to read all of them takes each new
    client of obstore 9 ms.
    """
    first, end, _ = Path(botocore.__file__).with_name("cacert.pem").read_text().partition(END)
    file = folder / "one.pem"
    file.write_text(first + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        patch.setenv("SSL_CERT_DIR", str(folder / "none"))
        yield
