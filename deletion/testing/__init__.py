"""A test suite for a team's own step. Needs the extra `testing`: pytest and pytest-asyncio.

Inherit from `StepConformance`, and supply how to make the step, and how to plant and count data
without it. A step that passes can be trusted to delete: its batches are bounded, it can be repeated
and resumed from every cursor, it never touches another bot, it counts and reads back correctly, it
ends when it is cancelled, and it survives a fault at every call::

    from deletion.testing import Faults, StepConformance

    class TestAvatars(StepConformance):
        @pytest.fixture(autouse=True)
        def _folder(self, tmp_path: Path) -> None:
            self.root = tmp_path

        def step(self) -> Step:
            return Avatars("avatars", Avatars.Options(root=self.root))

        def faulty_step(self, faults: Faults) -> Step:
            step = self.step()
            step.files = FaultyFiles(faults)  # each of its calls inside `with faults.call():`
            return step

        async def plant(self, bot_id: str, number: int) -> None:
            ...  # write `number` items of the bot, in addition to those it has

        async def count(self, bot_id: str) -> int:
            ...  # how many items the bot has, found without the step

See `StepConformance` and `StepRig` for what else can be set.
"""

from deletion.testing.conformance import NotExercised, StepConformance
from deletion.testing.faults import Faults

__all__ = ["Faults", "NotExercised", "StepConformance"]
