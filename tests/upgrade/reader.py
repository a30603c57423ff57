"""Reads every record of a database through the stores of the code that runs it, old or new.

`python reader.py MONGODB_URI DATABASE`, with that code on PYTHONPATH. Prints one JSON object: for
each collection, what is wrong with each record by its id, or null. It uses only what every release
has.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from deletion.adapters.mongo import breakers, dead_letters, jobs
from deletion.adapters.mongo.connection import Client, connect
from deletion.adapters.mongo.job_document import from_document, to_document
from deletion.dead_letter import DeadLetter
from deletion.errors import UnreadableJob
from deletion.ports import ReadLetter
from recovery.mongo_sweeps import MongoSweepStore

MOST: Final = 1_000
SWEEPS: Final = "recovery_sweeps"

Problems = dict[str, str | None]


def rewritten(document: Mapping[str, Any]) -> str | None:
    """What differs if the job is read and written again; fields that only one of the two versions
    has do not count.
    """
    try:
        again = to_document(from_document(document))
    except UnreadableJob as error:
        return str(error)
    differ = [name for name in again if name in document and again[name] != document[name]]
    return f"read and written again, these differ: {differ}" if differ else None


async def read_jobs(client: Client, database: str) -> Problems:
    """Read and write each job again, in memory."""
    found = await client[database][jobs.COLLECTION].find().to_list(MOST)
    return {str(document["_id"]): rewritten(document) for document in found}


async def read_letters(client: Client, database: str) -> Problems:
    """List them as an operator does."""
    store = dead_letters.MongoDeadLetterStore(client, database)

    def problem(letter: ReadLetter) -> str | None:
        return None if isinstance(letter, DeadLetter) else letter.reason

    return {letter.id: problem(letter) for letter in await store.find(limit=MOST)}


async def read_breakers(client: Client, database: str) -> Problems:
    """Read each as a call does."""
    store = breakers.MongoBreakerStore(client, database)
    found = await client[database][breakers.COLLECTION].find().to_list(MOST)
    damaged = set(await store.damaged())
    states = {each["_id"]: (await store.get(each["_id"])).trips == each["trips"] for each in found}
    return {
        host: "damaged" if host in damaged or not is_same else None
        for host, is_same in states.items()
    }


async def read_sweeps(client: Client, database: str) -> Problems:
    """Read each as the endpoint does."""
    store = MongoSweepStore(client, database)
    found = await client[database][SWEEPS].find().to_list(MOST)
    problems: Problems = {}
    for document in found:
        sweep = await store.get(str(document["_id"]))
        problems[str(document["_id"])] = None if sweep else "not found"
    return problems


async def read(uri: str, database: str) -> dict[str, Problems]:
    """Read everything."""
    client = connect(uri)
    try:
        return {
            jobs.COLLECTION: await read_jobs(client, database),
            dead_letters.COLLECTION: await read_letters(client, database),
            breakers.COLLECTION: await read_breakers(client, database),
            SWEEPS: await read_sweeps(client, database),
        }
    finally:
        client.close()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(read(*sys.argv[1:3]))))
