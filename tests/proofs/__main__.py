"""`python -m tests.proofs` writes the tables of docs/PROOFS.md. Exits with 1 when it cannot."""

import sys

from tests.proofs.page import PAGE, written

try:
    page = written()
except ValueError as error:
    sys.exit(str(error))
PAGE.write_text(page, encoding="utf-8")
