"""The event that announces a settled request."""

from datetime import datetime

from deletion.events.codec import (
    BotDeletionSubject,
    CompletedShare,
    DeletionCompleted,
    completion_id,
)
from deletion.request import DeletionRequest, Share


def completed(request: DeletionRequest, now: datetime) -> BotDeletionSubject:
    """The event to publish, at `now`. Raises `ValueError` while a service owes the request."""
    if request.settled_at is None:
        raise ValueError(f"request {request.id} is not settled")
    shares = sorted(request.shares, key=lambda share: share.service)
    event = DeletionCompleted(
        request_id=request.id,
        placed_at=request.placed_at,
        settled_at=request.settled_at,
        services=tuple(_completed(share) for share in shares),
    )
    return BotDeletionSubject(completion_id(request.id), now, request.bot_id, event)


def _completed(share: Share) -> CompletedShare:
    if share.settled_at is None:
        raise ValueError(f"{share.service} owes its share")
    return CompletedShare(share.service, share.job_id or "", share.settled_at)
