"""The request for a cluster's metadata in the version that has topics' ids (KIP-516, Kafka 2.8).

aiokafka 0.14.0 asks in version 5 at the most, which knows topics by their names alone: one that was deleted
and made again looks the same. A broker that is older than the ids is asked in version 5.
"""

import base64
from collections.abc import Sequence
from io import BytesIO

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v5
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_ID_BYTES = 16
_NO_ID = "A" * 22  # zeros: versions 10 and 11 refuse to be asked by id
_NO_TAGS: dict[int, bytes] = {}
_TEXT = CompactString("utf-8")


class _TopicId(AbstractType[str]):  # type: ignore[misc]
    """Sixteen bytes, as the text by which Kafka's own tools name a topic: 22 letters of URL-safe base64."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return base64.urlsafe_b64decode(f"{value}==")

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        return base64.urlsafe_b64encode(data.read(_ID_BYTES)).decode().rstrip("=")


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), ("tags", TaggedFields)
            ),
        ),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", _TEXT),
                ("id", _TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("id", _TopicId), ("topic", _TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicsRequest(Request[MetadataRequest_v5 | _MetadataRequest]):  # type: ignore[misc]
    """Asks for the topics of these names, or for all, and makes none, whatever the broker's settings."""

    API_KEY = 3

    def __init__(self, names: Sequence[str] | None) -> None:
        self._names = names

    def build(self, request_struct_class: type[RequestStruct]) -> RequestStruct:
        """The request in the newest version that the broker knows."""
        if request_struct_class is _MetadataRequest:
            named = None if self._names is None else [(_NO_ID, name, _NO_TAGS) for name in self._names]
            return _MetadataRequest(named, False, False, False, {})  # noqa: FBT003 - in the schema's order
        return MetadataRequest_v5(self._names, False)  # noqa: FBT003
