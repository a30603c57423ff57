"""`python -m tests.model`: every world within the wider bounds, in some minutes."""

import sys
import time

from tests.model.explore import explore
from tests.model.test_model import DEEPER

broken = False
for name, bounds in DEEPER.items():
    began = time.monotonic()
    explored = explore(bounds)
    broken = broken or bool(explored.broken)
    print(f"{name} ({time.monotonic() - began:.0f} s): {explored}", flush=True)
sys.exit(broken)
