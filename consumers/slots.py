"""Slots: how many jobs may run at once, and so how many messages may be pulled."""

import asyncio


class Slots:
    """`size` places. Room is reserved before a pull and given back place by place."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.free = size
        self._changed = asyncio.Event()
        self._closed = False

    async def reserve(self, limit: int) -> int:
        """Wait for a free place, then take as many as are free, at most `limit`; 0 once closed."""
        while not self.free and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        taken = 0 if self._closed else min(self.free, limit)
        self.free -= taken
        return taken

    def release(self, places: int = 1) -> None:
        """Give `places` back."""
        self.free += places
        self._changed.set()

    def close(self) -> None:
        """No more is reserved; who waits gets 0."""
        self._closed = True
        self._changed.set()
