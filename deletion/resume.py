"""Asking for a resumption: the one message recovery, a hand-over and a retry by hand send.

Apart from `deletion.events`, because it knows the job, and the gateway must not.
"""

import uuid
from datetime import datetime

from deletion.bus import Message
from deletion.events import BotDeletionSubject, ResumeRequested, to_message
from deletion.job import Job


def resume_message(job: Job, now: datetime) -> Message:
    """Asks the consumer of the job's service to claim it. Publishing it twice is harmless."""
    request = ResumeRequested(service=job.service, job_id=job.id, requested_at=now)
    return to_message(BotDeletionSubject(str(uuid.uuid4()), now, job.bot_id, request))
