"""What an operator does to records: retry jobs, replay and discard dead letters, waive requests;
and what a person needs to know for that: who moves a job next (`next_move`), and what the bytes of
a dead letter say (`explain`).

It reads no options and prints nothing, so that not only the command line can act through it. Who
did what, when, why, to what and with which outcome is on record before it is done: see `record`.

A command acts on the records as it reads them, inside `journal.on_record`. A server acts on what
somebody has seen before. It has one `actions.Actions` over `kinds.Kinds`, composed of its stores:

    preview = await actions.preview(kinds.retry(choice, by))  # what would be done, and what not
    refusal = await actions.confirm(preview.id, by=by, reason=reason)  # None: it runs
    whole = await store.get(preview.id)  # the preview's id is the action's
    refusal = await actions.again(action_id, by=by)  # the rest, after a crash or a failure
    page = await store.find(by=None, kind=None, before=last_id, limit=50)
    await actions.close(patience)  # when the process is asked to stop

`journal.do_once` does and records one thing that is no bulk: `services.retire_service`, or the
start of a sweep, whose outcome has the sweep's id. Whether somebody may act is the caller's to
check. `TransientError` means try again later, `ClockSkew` and `Interrupted` another process.
"""
