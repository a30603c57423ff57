"""The `mongo` kind of step in a plan file: `mongo: {database, collection, field, …}`."""

from typing import Annotated, Final

from pydantic import Field, SecretStr, field_validator

from deletion.adapters.mongo import (
    breakers,
    dead_letters,
    doctor_results,
    jobs,
    operator_actions,
    requests,
    services,
)
from deletion.adapters.mongo.owner import FieldType
from deletion.adapters.mongo.step import MongoStep
from deletion.adapters.mongo.uri import checked
from deletion.adapters.spec import StepConnections, Strict
from deletion.errors import PlanError

PIPELINE_COLLECTIONS: Final = frozenset(
    {
        breakers.COLLECTION,
        dead_letters.COLLECTION,
        doctor_results.COLLECTION,
        jobs.COLLECTION,
        jobs.WRITE_CHECKS,
        operator_actions.COLLECTION,
        operator_actions.PREVIEWS,
        requests.COLLECTION,
        services.COLLECTION,
        "recovery_sweeps",
    }
)
"""The pipeline's own collections, which name bots too: a plan over them would delete the records
of deletions. Refused in the pipeline's database, whatever server a step's `uri` names, because
two URIs may name one server."""
IDENTITY: Final = ("uri", "database", "collection", "field")
"""The fields that say which documents a step deletes."""
SYSTEM_DATABASES: Final = frozenset({"admin", "config", "local"})


class MongoSpec(Strict):
    """Documents of one collection whose `field` is the bot's id."""

    database: Annotated[str, Field(pattern=r'^[^/\\. "$\x00]{1,63}$')]
    collection: Annotated[str, Field(pattern=r"^[^$\x00]{1,200}$")]
    field: Annotated[str, Field(pattern=r"^[^$\x00]{1,200}$")]
    field_type: FieldType = "objectid"
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    uri: SecretStr | None = None

    @field_validator("database")
    @classmethod
    def _is_not_the_systems(cls, database: str) -> str:
        if database in SYSTEM_DATABASES:
            raise ValueError(f"expected a database of the service, {database!r} is MongoDB's own")
        return database

    @field_validator("collection")
    @classmethod
    def _is_the_services(cls, collection: str) -> str:
        if collection.startswith("system."):
            raise ValueError("expected a collection of the service, `system.` is MongoDB's own")
        return collection

    @field_validator("uri")
    @classmethod
    def _is_mongodb(cls, uri: SecretStr | None) -> SecretStr | None:
        return None if uri is None else checked(uri)  # an empty URI is not the default one

    def is_over(self, other: "MongoSpec") -> bool:
        """Whether it deletes the same documents as `other`."""
        mine, others = self.model_dump(), other.model_dump()
        return all(mine[each] == others[each] for each in IDENTITY)

    def build(self, name: str, connections: StepConnections) -> MongoStep:
        """The step over the documents. Raises `PlanError` for a collection of the pipeline."""
        if self.database == connections.own_database and self.collection in PIPELINE_COLLECTIONS:
            raise PlanError(
                f"{self.collection} in {self.database} (BOTDEL_MONGODB_DATABASE) holds the "
                "pipeline's own records, which no plan deletes",
                field=f"step {name}",
            )
        client = connections.connect(None if self.uri is None else self.uri.get_secret_value())
        return MongoStep(
            name,
            client[self.database][self.collection],
            self.field,
            self.field_type,
            self.batch_size,
            connections.call_seconds,
        )
