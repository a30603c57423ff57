"""`python -m tests.model`: every world within the wider bounds, in some minutes."""

import sys
import time

from tests.model.bounds import DEEPER
from tests.model.explore import explore

broken = False
for name, bounds in DEEPER.items():
    began = time.monotonic()
    explored = explore(bounds)
    broken = broken or bool(explored.broken)
    print(f"{name} ({time.monotonic() - began:.0f} s): {explored}", flush=True)
sys.exit(broken)
