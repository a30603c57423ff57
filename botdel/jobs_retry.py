"""`botdel jobs retry`: an operator makes jobs pending again once the cause is gone."""

from collections.abc import Callable, Sequence
from typing import Final

from botdel.options import ids_or_filters, object_id, one_of
from botdel.store import opened, recorded, with_actions
from botdel.summary import Wording, carry_out
from deletion.adapters.mongo.jobs import MongoJobStore
from deletion.clock import SystemClock
from deletion.job import Status
from deletion.operating.acting import Tally
from deletion.operating.jobs import BY_STATUS, Choice, looks_of_job, retry_jobs
from deletion.operating.record import ActionKind, Order
from deletion.process.settings import load
from deletion.process.store_settings import ActingSettings

RETRIED: Final = Wording("retried", "`botdel jobs show {id}` shows its progress")


def chosen(
    ids: Sequence[str],
    service: str | None,
    bot: str | None,
    status: str | None,
    limit: int | None,
    *,
    everything: bool,
) -> Choice:
    """Return what the options choose. Raises `ConfigurationError` unless it is ids or filters."""
    filters = {"--service": service, "--bot": bot, "--status": status}
    checked = ids_or_filters(ids, filters, limit, everything=everything)
    wanted = one_of([each for each in Status if each in BY_STATUS], "--status", status)
    return Choice(checked, service, object_id(bot, "--bot") if bot else None, wanted, limit)


async def retry(choice: Choice, why: str, *, dry_run: bool, as_json: bool) -> int:
    """Make the chosen jobs pending, and record who did, and why. Returns 1 if one is refused, else
    0.

    Raises what `retry_jobs` raises.
    """
    settings, clock = load(ActingSettings), SystemClock()
    order = Order(ActionKind.RETRY, settings.who, why, choice.words)
    async with opened(with_actions(MongoJobStore), settings) as (store, actions):

        async def act(tally: Tally, progress: Callable[[], None]) -> None:
            async with recorded(order, tally, looks_of_job, actions, dry_run=dry_run) as before:
                await retry_jobs(
                    choice,
                    store,
                    clock,
                    settings.lease,
                    tally,
                    dry_run=dry_run,
                    before=before,
                    progress=progress,
                )

        return await carry_out(act, RETRIED, dry_run=dry_run, as_json=as_json)
