"""What is asked of a database: deletion/adapters/mongo/, but for the store of jobs."""

from typing import Final

from tests.mutations.mutants.base import DATA, DATABASE, Mutant

MONGO_BREAKERS: Final = "deletion/adapters/mongo/breakers.py"
CENSUS: Final = "deletion/adapters/mongo/census.py"
CONNECTION: Final = "deletion/adapters/mongo/connection.py"
MONGO_LETTERS: Final = "deletion/adapters/mongo/dead_letters.py"
DRIVER: Final = "deletion/adapters/mongo/driver.py"
FIELDS: Final = "deletion/adapters/mongo/fields.py"
INDEXES: Final = "deletion/adapters/mongo/indexes.py"
RETENTION: Final = "deletion/adapters/mongo/retention.py"
STEP: Final = "deletion/adapters/mongo/step.py"
URI: Final = "deletion/adapters/mongo/uri.py"
OWNER: Final = "deletion/adapters/mongo/owner.py"

MUTANTS: Final = (
    Mutant(
        "a password that is not encoded gets to the driver",
        URI,
        "if not _REST.fullmatch(text, scheme.end()):",
        "if False:",
        ("unit",),
    ),
    Mutant(
        "an @ behind the hosts gets to the driver",
        URI,
        "(?:[/?][^@]*)?",
        "(?:[/?].*)?",
        ("unit",),
    ),
    Mutant(
        "the driver's words on a URI are shown",
        CONNECTION,
        "except (PyMongoError, ValueError) as error:",
        "except () as error:",
        ("unit",),
    ),
    Mutant(
        "a plan deletes what the pipeline itself has recorded",
        "deletion/adapters/mongo/spec.py",
        "if self.database == connections.own_database and self.collection in PIPELINE_COLLECTIONS:",
        "if False:",
        ("unit",),
    ),
    Mutant(
        "a null is taken for a value",
        FIELDS,
        "if not isinstance(value, kind):",
        "if False:",
        DATABASE,
    ),
    Mutant(
        "the database keeps a message twice",
        MONGO_LETTERS,
        "        name=BY_MESSAGE,\n        unique=True,",
        "        name=BY_MESSAGE,\n        unique=False,",
        DATABASE,
    ),
    Mutant(
        "a decision on a dead letter does not expect its count",
        MONGO_LETTERS,
        'query = {"_id": ObjectId(letter.id), "count": letter.count}',
        'query = {"_id": ObjectId(letter.id)}',
        DATABASE,
    ),
    Mutant(
        "one dead letter that cannot be read hides the others",
        MONGO_LETTERS,
        "    except DAMAGED as error:\n",
        "    except DAMAGED as error:\n        raise\n",
        DATABASE,
    ),
    Mutant(
        "one damaged time hides the oldest job",
        CENSUS,
        '{"$min": {"$cond": [is_time, "$createdAt", None]}}',
        '{"$min": "$createdAt"}',
        DATABASE,
    ),
    Mutant(
        "a date beyond every calendar stops what is read with it",
        CONNECTION,
        'datetime_conversion="DATETIME_AUTO"',
        'datetime_conversion="DATETIME"',
        DATA,
    ),
    Mutant(
        "a call for dead letters may take for ever",
        MONGO_LETTERS,
        "self._call_seconds = call_seconds",
        "self._call_seconds = 86_400",
        DATA,
    ),
    Mutant(
        "a document that becomes others' too is deleted",
        OWNER,
        '{"$eq": self.of(bot_id), **NO_ARRAY}',
        "self.of(bot_id)",
        DATA,
    ),
    Mutant(
        "a document whose owners become others' too is deleted",
        OWNER,
        "range(1, len(path))",
        "range(0)",
        DATA,
    ),
    Mutant(
        "the cursor takes the place of a bot's own id",
        STEP,
        'if last is None or self.field == "_id":',
        "if last is None:",
        DATA,
    ),
    Mutant(
        "a step reads back what may be rolled back",
        STEP,
        "self.collection.with_options(read_concern=ReadConcern(concern))",
        "self.collection",
        DATA,
    ),
    Mutant(
        "a replica set is read back as if it were sharded",
        STEP,
        "return LINEARIZABLE if is_replica_set else MAJORITY",
        "return MAJORITY",
        DATA,
    ),
    Mutant(
        "mongos is read back as a replica set",
        STEP,
        """is_replica_set = "setName" in hello and hello.get("msg") != "isdbgrid\"""",
        "is_replica_set = True",
        DATA,
    ),
    Mutant(
        "a read back that is refused is not made in another way",
        STEP,
        "if concern == MAJORITY or error.code not in NOT_SUPPORTED:",
        "if error.code:",
        DATA,
    ),
    Mutant(
        "a step does not say that it fell back",
        STEP,
        "        self.read_back = concern\n",
        "        self.read_back = self.read_back or LINEARIZABLE\n",
        DATA,
    ),
    Mutant(
        "a deletion of data may take for ever",
        STEP,
        "            with bounded(self.call_seconds):\n                result",
        "            with bounded(86_400):\n                result",
        DATA,
    ),
    Mutant(
        "a read-back of data may take for ever",
        STEP,
        "        with bounded(self.call_seconds):\n            concern",
        "        with bounded(86_400):\n            concern",
        DATA,
    ),
    Mutant(
        "a code of a failover fails the job",
        CONNECTION,
        "return labelled or not TRANSIENT_CODES.isdisjoint(_codes(error))",
        "return labelled",
        DATA,
    ),
    Mutant(
        "a code of a failover inside a bulk write fails the job",
        CONNECTION,
        "if isinstance(error, BulkWriteError):",
        "if not isinstance(error, OperationFailure):",
        DATA,
    ),
    Mutant(
        "threads are not sized from the runs",
        DRIVER,
        "if _framework.max_workers < needed:",
        "if _framework.max_workers < 0:",
        DATA,
    ),
    Mutant(
        "clients reserve no threads for their runs",
        CONNECTION,
        "            reserve_threads(runs)",
        "            pass",
        DATA,
    ),
    Mutant(
        "too few threads are not refused",
        DRIVER,
        "if given is not None and int(given) < needed:",
        "if given is not None and int(given) < 0:",
        DATA,
    ),
    Mutant(
        "connections are not bounded",
        CONNECTION,
        "maxPoolSize=connections,",
        "maxPoolSize=None,",
        DATA,
    ),
    Mutant(
        "idle connections are kept",
        CONNECTION,
        "maxIdleTimeMS=IDLE_SECONDS * 1000,",
        "maxIdleTimeMS=None,",
        DATA,
    ),
    Mutant(
        "a process builds indexes wherever it runs",
        INDEXES,
        "await (build_indexes if build else require_indexes)(database[name], wanted)",
        "await build_indexes(database[name], wanted)",
        DATA,
    ),
    Mutant(
        "a process starts without its unique indexes",
        INDEXES,
        "if needed := [name for name in names if name in unique]:",
        "if needed := [name for name in () if name in unique]:",
        DATA,
    ),
    Mutant(
        "an index that only has the name is taken for the unique one",
        INDEXES,
        "if name in found and expected[name] != shape(found[name])",
        "if False",
        DATA,
    ),
    Mutant(
        "jobs that are not complete expire too",
        RETENTION,
        """partialFilterExpression={"status": "complete", "unreported": None}""",
        """partialFilterExpression={"unreported": None}""",
        DATA,
    ),
    Mutant(
        "jobs that the ledger has not settled expire too",
        RETENTION,
        """partialFilterExpression={"status": "complete", "unreported": None}""",
        """partialFilterExpression={"status": "complete"}""",
        DATA,
    ),
    Mutant(
        "complete jobs expire although nobody asked for it",
        RETENTION,
        "if difference is None and days is not None:",
        "if difference is None and (days := days or 31):",
        DATA,
    ),
    Mutant(
        "an index that goes on deleting is not reported",
        RETENTION,
        "if days is not None and not gap([ttl_index(days)], found):",
        "if days is None or not gap([ttl_index(days)], found):",
        DATA,
    ),
    Mutant(
        "a breaker is changed without its guard",
        MONGO_BREAKERS,
        'expected = {"_id": after.host, **guard}',
        'expected = {"_id": after.host}',
        DATABASE,
    ),
    Mutant(
        "a breaker whose stamp is damaged never opens",
        MONGO_BREAKERS,
        'return {"stamp": {"$eq": document["stamp"], "$exists": True}}',
        'return {"stamp": str(document["stamp"])}',
        DATABASE,
    ),
    Mutant(
        "a breaker without a stamp never opens",
        MONGO_BREAKERS,
        'return {"stamp": {"$exists": False}}',
        'return {"stamp": ""}',
        DATABASE,
    ),
    Mutant(
        "a breaker with an empty stamp never opens",
        MONGO_BREAKERS,
        'if stamp := field(document, "stamp", str):\n        return stamp\n    raise ValueError("stamp: expected text, found none")',
        'return field(document, "stamp", str)',
        DATABASE,
    ),
    Mutant(
        "a change of a breaker whose answer was lost is lost",
        MONGO_BREAKERS,
        'return found is not None and found.get("stamp") == after.stamp',
        "return False",
        DATABASE,
    ),
    Mutant(
        "a cursor of another kind of step ends a step over documents",
        STEP,
        "        except (ValueError, TypeError, KeyError, OverflowError, BSONError):",
        "        except KeyError:",
        ("data",),
    ),
    Mutant(
        "a number that no database can hold is a cursor",
        STEP,
        '            encode({"_id": last})\n',
        "",
        ("data",),
    ),
)
