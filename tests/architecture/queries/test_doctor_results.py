"""What `botdel doctor` found last is read and written by its `_id`, which always has its index."""

from deletion.adapters.mongo.doctor_results import COLLECTION, MongoExaminationStore
from deletion.doctor import Examination
from tests.support.clock import START
from tests.support.measured import CROWD, Watched, public


async def test_a_result_is_read_and_written_by_its_id(watched: Watched) -> None:
    assert public(MongoExaminationStore) == {"keep", "last"}
    store = MongoExaminationStore(watched.client, watched.database.name)
    crowd = [{"_id": f"other {number}"} for number in range(CROWD)]
    await watched.database[COLLECTION].insert_many(crowd)
    examination = Examination(START, "host-1", ())
    watched.watch()
    await store.keep(examination)
    assert await store.last() == examination
    assert await watched.scans() == []
    assert len(watched.listener.queries) == 2
