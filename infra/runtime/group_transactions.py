"""Transactions that move a consumer group on, as KIP-447 has them: the broker knows who commits.

A transaction's offsets name the member and the generation of its group, so what a member commits that has
lost its partitions is refused, whichever producer it has. And whoever takes partitions over asks for stable
offsets: while an offset's transaction is open the answer is to wait, so that no record is taken twice.

aiokafka 0.14.0 has neither: it commits offsets in version 0, and asks for them in version 3.
"""

# ruff: noqa: SLF001 - of aiokafka, as infra.runtime.aiokafka_changes says

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import CoordinationType
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.producer.sender import TxnOffsetCommitHandler
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import OffsetAndMetadata

from infra.runtime.aiokafka_changes import send_request
from infra.runtime.retry import Backoff

_TEXT = CompactString("utf-8")
_NO_TAGS: dict[int, bytes] = {}
_UNKNOWN_EPOCH = -1
_UNSTABLE = 88  # UNSTABLE_OFFSET_COMMIT, which aiokafka has no name for
_LOST = {IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError}

Offsets: TypeAlias = Mapping[TopicPartition, OffsetAndMetadata]
"""A group's next offsets, each with what its reader noted beside it."""


class GroupMember(NamedTuple):
    """Who commits: a member of a group, in a generation."""

    group: str
    generation: int
    id: str


class LostMemberError(KafkaError):  # type: ignore[misc]
    """The group has gone on without this member: its transaction is aborted."""


class _CommitResponse(Response):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("error_code", Int16), ("tags", TaggedFields)),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _CommitStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 28
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _CommitResponse
    SCHEMA = Schema(
        ("transactional_id", _TEXT),
        ("group_id", _TEXT),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", _TEXT),
        ("group_instance_id", _TEXT),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _CommitRequest(Request[_CommitStruct]):  # type: ignore[misc]
    API_KEY = 28

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[_CommitStruct]) -> _CommitStruct:
        """The request, in the one version that there is here."""
        return request_struct_class(*self._fields)


class _FetchResponse(Response):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("topic", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                        ("metadata", _TEXT),
                        ("error_code", Int16),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("error_code", Int16),
        ("tags", TaggedFields),
    )


class _FetchStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 9
    API_VERSION = 7
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _FetchResponse
    SCHEMA = Schema(
        ("group_id", _TEXT),
        (
            "topics",
            CompactArray(("topic", _TEXT), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("require_stable", Boolean),
        ("tags", TaggedFields),
    )


class _FetchRequest(Request[_FetchStruct]):  # type: ignore[misc]
    API_KEY = 9

    def __init__(self, group: str, topics: Collection[tuple[str, list[int], dict[int, bytes]]]) -> None:
        self._group = group
        self._topics = topics

    def build(self, request_struct_class: type[_FetchStruct]) -> _FetchStruct:
        """The request, in the one version that there is here."""
        return request_struct_class(self._group, [*self._topics], True, _NO_TAGS)  # noqa: FBT003


async def stable_offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Collection[TopicPartition], *, within: float
) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's offsets, without partitions that it has none for; what is open is waited for.

    Raises:
        TimeoutError: A transaction has stayed open for `within` seconds.
        KafkaError: The coordinator cannot be reached, or is still loading.
    """
    backoff = Backoff(0.02, 0.5)
    async with asyncio.timeout(within):
        while (found := await _offsets(admin, group, partitions)) is None:
            await backoff.wait()
    return found


async def _offsets(
    admin: AIOKafkaAdminClient, group: str, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata] | None:
    """None while a transaction is open that has some of them."""
    topics = sorted({one.topic for one in partitions})
    asked = [(topic, sorted(p for t, p in partitions if t == topic), _NO_TAGS) for topic in topics]
    answer = await send_request(admin, _FetchRequest(group, asked), await admin.find_coordinator(group))
    each = [(TopicPartition(topic, one[0]), one) for topic, found, _ in answer.topics for one in found]
    errors = {answer.error_code, *(one[4] for _, one in each)} - {0}
    if errors - {_UNSTABLE}:
        raise for_code(min(errors - {_UNSTABLE}))(f"the offsets of group {group}")
    if errors:
        return None
    return {partition: OffsetAndMetadata(one[1], one[3] or "") for partition, one in each if one[1] >= 0}


async def send_offsets(producer: AIOKafkaProducer, offsets: Offsets, member: GroupMember) -> None:
    """Have the producer's transaction move the group on, if the member is still one.

    Raises:
        LostMemberError: It is not: the transaction can only be aborted.
    """
    sender = producer._sender

    async def commit(offsets: dict[TopicPartition, OffsetAndMetadata], group: str) -> None:
        if offsets:
            node = await sender._find_coordinator(CoordinationType.GROUP, group)
            await _CommitHandler(sender, offsets, member).do(node)

    sender._do_txn_offset_commit = commit
    await producer.send_offsets_to_transaction(dict(offsets), member.group)


class _CommitHandler(TxnOffsetCommitHandler):  # type: ignore[misc]
    """Sends the offsets as a member's."""

    def __init__(
        self, sender: Any, offsets: dict[TopicPartition, OffsetAndMetadata], member: GroupMember
    ) -> None:
        super().__init__(sender, offsets, member.group)
        self._member = member

    def create_request(self) -> _CommitRequest:
        manager, (group, generation, member) = self._sender._txn_manager, self._member
        producer = manager.transactional_id, group, manager.producer_id, manager.producer_epoch
        by_topic: defaultdict[str, list[Any]] = defaultdict(list)
        for one, committed in sorted(self._offsets.items()):
            fields = one.partition, committed.offset, _UNKNOWN_EPOCH, committed.metadata, _NO_TAGS
            by_topic[one.topic].append(fields)
        topics = [(topic, fields, _NO_TAGS) for topic, fields in by_topic.items()]
        return _CommitRequest(*producer, generation, member, None, topics, _NO_TAGS)

    def handle_response(self, resp: Any) -> float | None:
        errors = [(topic, [one[:2] for one in found]) for topic, found, _ in resp.topics]
        lost = {for_code(code) for _, found in errors for _, code in found} & _LOST
        if not lost:
            return super().handle_response(SimpleNamespace(errors=errors))  # type: ignore[no-any-return]
        manager, names = self._sender._txn_manager, ", ".join(one.__name__ for one in lost)
        manager.error_transaction(LostMemberError(f"group {self._group_id} went on without us: {names}"))
        manager._transaction_waiter.exception()  # who sends the offsets gets it
        return None
