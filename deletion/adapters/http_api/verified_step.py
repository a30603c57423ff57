"""An HTTP step with `verify`, which can be previewed."""

import secrets
from dataclasses import dataclass

from deletion.adapters.http_api.step import NOT_FOUND, HttpStep
from deletion.plan import Doubt


@dataclass(slots=True)
class VerifiedHttpStep(HttpStep):
    """A step with `verify`: it can be looked at before it deletes anything."""

    @property
    def read_back(self) -> str:
        """See `deletion.plan.Verified`."""
        return "verify"

    async def count(self, bot_id: str) -> int:
        """1 if `verify` says that the bot is there, else 0. Raises as `is_empty` does."""
        return int(not await self.is_empty(bot_id))

    async def faults(self) -> list[str]:
        """Ask `verify` about a bot that does not exist, which it has to report as gone."""
        if await self.is_empty(secrets.token_hex(12)):
            return []
        what = self.verify.what if self.verify else self.endpoint.what
        return [f"{what} finds a bot that does not exist, so no bot would ever be gone"]

    async def doubts(self) -> list[Doubt]:
        """Whether a path that does not exist would get the same answer."""
        if self.verify is None:
            return []
        nobody = secrets.token_hex(12)
        async with self.verify.gate.permit(reads=True):
            answer = await self._send(self.verify.of(nobody), nobody, reads=True)
        if answer.status != NOT_FOUND or NOT_FOUND not in self.verify.gone:
            return []
        what = f"{self.verify.what} answered 404, as a wrong path would"
        return [Doubt(what, "if the API has another status for a deleted bot: `gone: [410]`")]
