"""The request ledger: follows each request from its event until no service owes it.

In reading order: `owing` says who owes a request, `intake` records requests, `settle` settles what
complete jobs cover, `republish` publishes requests again for services without a job, `warn` alerts
near and after deadlines, `notify` publishes `DeletionCompleted` and posts to the callback. Each is
a `part` with a loop of its own; `running` puts them together. docs/decisions/0036.
"""
