import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_REQUEST_PLACED: _ClassVar[EventType]
    EVENT_TYPE_DELETION_COMPLETED: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_REQUEST_PLACED: EventType
EVENT_TYPE_DELETION_COMPLETED: EventType

class BotDeletionSubject(_message.Message):
    __slots__ = ("event_id", "timestamp", "version", "bot_id", "event_type", "request_placed", "deletion_completed")
    class RequestPlaced(_message.Message):
        __slots__ = ("placed_at", "requested_by")
        PLACED_AT_FIELD_NUMBER: _ClassVar[int]
        REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
        placed_at: _timestamp_pb2.Timestamp
        requested_by: str
        def __init__(self, placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requested_by: _Optional[str] = ...) -> None: ...
    class DeletionCompleted(_message.Message):
        __slots__ = ("request_id", "placed_at", "settled_at", "services")
        class Share(_message.Message):
            __slots__ = ("service", "job_id", "settled_at")
            SERVICE_FIELD_NUMBER: _ClassVar[int]
            JOB_ID_FIELD_NUMBER: _ClassVar[int]
            SETTLED_AT_FIELD_NUMBER: _ClassVar[int]
            service: str
            job_id: str
            settled_at: _timestamp_pb2.Timestamp
            def __init__(self, service: _Optional[str] = ..., job_id: _Optional[str] = ..., settled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
        REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
        PLACED_AT_FIELD_NUMBER: _ClassVar[int]
        SETTLED_AT_FIELD_NUMBER: _ClassVar[int]
        SERVICES_FIELD_NUMBER: _ClassVar[int]
        request_id: str
        placed_at: _timestamp_pb2.Timestamp
        settled_at: _timestamp_pb2.Timestamp
        services: _containers.RepeatedCompositeFieldContainer[BotDeletionSubject.DeletionCompleted.Share]
        def __init__(self, request_id: _Optional[str] = ..., placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settled_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., services: _Optional[_Iterable[_Union[BotDeletionSubject.DeletionCompleted.Share, _Mapping]]] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_PLACED_FIELD_NUMBER: _ClassVar[int]
    DELETION_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    timestamp: _timestamp_pb2.Timestamp
    version: int
    bot_id: str
    event_type: EventType
    request_placed: BotDeletionSubject.RequestPlaced
    deletion_completed: BotDeletionSubject.DeletionCompleted
    def __init__(self, event_id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., bot_id: _Optional[str] = ..., event_type: _Optional[_Union[EventType, str]] = ..., request_placed: _Optional[_Union[BotDeletionSubject.RequestPlaced, _Mapping]] = ..., deletion_completed: _Optional[_Union[BotDeletionSubject.DeletionCompleted, _Mapping]] = ...) -> None: ...
