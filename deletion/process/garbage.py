"""What Python's garbage collector looks at while a process serves.

By default, about once in a thousand requests, a full collection looks at everything that the
imports have made, over 100,000 objects. That took about a quarter of the gateway's CPU time, and
each collection stopped it for tens of milliseconds.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = 10_000
"""New objects that start a collection: as many as some 100 requests under way have. By default it
is 700, or 2,000 from Python 3.13 on."""


@contextmanager
def startup_frozen() -> Iterator[None]:
    """Inside the block, the collector skips the objects that exist at its start."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
