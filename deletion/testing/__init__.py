"""What a team tests its own step with. Needs the extra `testing`: pytest and pytest-asyncio.

Inherit from `StepConformance`, say how to make the step, and how to plant and count data without
it. A step that passes may be trusted to delete: its batches are bounded, it can be resumed from
every cursor and repeated, it never touches another bot, counts and reads back honestly, obeys
cancellation, and survives a fault at every call::

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
            ...  # write `number` items of the bot, beside those that it has

        async def count(self, bot_id: str) -> int:
            ...  # how many items of the bot there are, by other means than the step's

See `StepConformance` for what else can be said about a step.
"""

from deletion.testing.conformance import NotExercised, StepConformance
from deletion.testing.faults import Faults

__all__ = ["Faults", "NotExercised", "StepConformance"]
