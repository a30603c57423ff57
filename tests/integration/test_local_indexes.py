"""What `make up` and `make demo` prepare is what `botdel doctor` looks for."""

from botdel.doctor.indexes import COLLECTIONS, index_findings
from botdel.local.database import EmbeddedMongo
from botdel.local.installation import _provide
from deletion.adapters.mongo.connection import Client
from deletion.doctor import Verdict


async def test_no_index_is_missing_before_the_first_sweep(
    mongo: EmbeddedMongo, client: Client, database_name: str
) -> None:
    database = client[database_name]
    before = await index_findings(database, ())
    assert sum(found.status is Verdict.FAILED for found in before) == len(COLLECTIONS)
    await _provide(
        {
            "BOTDEL_MONGODB_URI": mongo.uri,
            "BOTDEL_MONGODB_DATABASE": database_name,
            "BILLING_URL": "http://127.0.0.1:1",
        }
    )
    after = await index_findings(database, ())
    assert not any(found.status is Verdict.FAILED for found in after), after
