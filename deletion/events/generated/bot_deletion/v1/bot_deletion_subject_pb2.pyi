import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_REQUEST_PLACED: _ClassVar[EventType]
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_REQUEST_PLACED: EventType

class BotDeletionSubject(_message.Message):
    __slots__ = ("event_id", "timestamp", "version", "bot_id", "event_type", "request_placed")
    class RequestPlaced(_message.Message):
        __slots__ = ("placed_at", "requested_by")
        PLACED_AT_FIELD_NUMBER: _ClassVar[int]
        REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
        placed_at: _timestamp_pb2.Timestamp
        requested_by: str
        def __init__(self, placed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., requested_by: _Optional[str] = ...) -> None: ...
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BOT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_PLACED_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    timestamp: _timestamp_pb2.Timestamp
    version: int
    bot_id: str
    event_type: EventType
    request_placed: BotDeletionSubject.RequestPlaced
    def __init__(self, event_id: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., bot_id: _Optional[str] = ..., event_type: _Optional[_Union[EventType, str]] = ..., request_placed: _Optional[_Union[BotDeletionSubject.RequestPlaced, _Mapping]] = ...) -> None: ...
