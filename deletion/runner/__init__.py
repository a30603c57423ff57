"""The runner: one claimed job from its checkpoint to its end.

Read `Run.to_completion` (run) first: start → delete → read back → complete. `Runner` (lifecycle)
holds the lease meanwhile and records how the run ended.
"""

from deletion.runner.lifecycle import RETRY_SECONDS, Runner
from deletion.runner.read_back import ANSWER_ONLY
from deletion.runner.run import PASSES, OnBatch

__all__ = ["ANSWER_ONLY", "PASSES", "RETRY_SECONDS", "OnBatch", "Runner"]
