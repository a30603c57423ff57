"""The imports of the product's processes, done once for `tests.support.forked`."""

import gc
import threading

import recovery.client
import recovery.main  # noqa: F401

if threading.active_count() > 1:
    raise RuntimeError("an import has started a thread, which a fork would lose")
gc.freeze()
