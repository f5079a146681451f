"""Transactions by HTTP: sent to the input topic as producers do, and answered with their verdicts."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from api.live.feed import LiveFeed
from api.live.verdicts import Awaited, Waiting
from api.metrics import Metrics
from api.reading.known import KnownRows
from api.settings import Settings
from api.web.body import JSON, NDJSON, Room, read_body
from api.web.params import WAIT, query
from api.web.problems import ParameterError, Problem, Unavailable
from api.web.route import Route, json_response
from infra.produce.delivery import DeliveryError
from infra.produce.inlet import Inlet
from infra.produce.rows import ProducerRecord
from infra.runtime.cli_errors import StopError
from schemas.access import Scope
from schemas.dead_letter import Place
from schemas.refusal import Reason, Refused
from schemas.scored import Scored
from schemas.transaction import Decoder, Transaction

_MOST = 10_000
_AT_ONCE = 500
"""After so many are checked, other requests get their turn."""
_SHOWN = 100
"""Of what is refused altogether, so many are named."""

_WAIT = (
    "Wait so long for the verdicts, at most 30s: 200 with all of them, or else 202 with those that have come."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostQuery:
    """Whether verdicts are waited for."""

    wait: float | None = query(WAIT, _WAIT)


class PostedOne(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a transaction."""

    outcome: Literal["accepted", "scored", "refused"]
    """`scored` is accepted, with the verdict; without `wait` no verdict is looked for."""
    id: str | UnsetType = UNSET
    row: Scored | UnsetType = UNSET
    """Of what is `scored`: as readers of `transactions.scored` and of the pages get it."""
    reason: Reason | UnsetType = UNSET
    """Of what is `refused`: the field, or `json`, `text` or `size`."""
    detail: str | UnsetType = UNSET


class Posted(msgspec.Struct, frozen=True):
    """What became of the transactions, in the order of the body.

    Kafka has those that are accepted, in all its replicas. The same posted again counts once.
    """

    accepted: int
    refused: int
    transactions: Sequence[PostedOne]


_Several = Annotated[list[Transaction], msgspec.Meta(min_length=1)]
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


class _OfUser(msgspec.Struct):
    user_id: str


_USER = msgspec.json.Decoder(_OfUser)


@dataclass(frozen=True)
class PostRoutes:
    """`POST /transactions`."""

    inlet: Inlet
    known: KnownRows
    feed: LiveFeed | None
    decoder: Decoder
    metrics: Metrics
    settings: Settings
    room: Room = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "room", Room(self.settings.posted_bytes))

    @Route(
        "/transactions",
        "transactions_post",
        method="POST",
        needs=Scope.SEND,
        parameters=PostQuery,
        takes={JSON: Transaction | _Several, NDJSON: str},
        body=Posted,
        status=202,
        others={200: "With `wait`: every verdict."},
        depends=True,
        bounded=True,
    )
    async def post(self, request: web.Request, query: PostQuery) -> web.Response:
        """Have transactions scored: one, an array of them, or one a line.

        They are checked as the worker checks them. What is refused is named, and keeps back nothing else.
        """
        began = time.monotonic()
        body = await read_body(request, JSON, NDJSON)
        with self.room.of(len(body)):
            checked = await self._checked(_values(body, request.content_type))
            waiting = Waiting([one.transaction for one in checked if isinstance(one, _Good)])
            if not waiting.awaited:
                raise _refused(checked)
            async with self._told(waiting, query.wait):
                await self._sent(waiting, [one.record for one in checked if isinstance(one, _Good)])
                if query.wait is not None:
                    await waiting.wait(began + query.wait - time.monotonic())
        return self._answer(checked, waiting, began, wait=query.wait is not None)

    async def _checked(self, values: Sequence[bytes]) -> list["_Good | Refused"]:
        checked: list[_Good | Refused] = []
        for start in range(0, len(values), _AT_ONCE):
            if start:
                await asyncio.sleep(0)
            some = values[start : start + _AT_ONCE]
            keys = [_key(value) for value in some]
            now = [time.time_ns() // 1_000_000] * len(some)
            for one, key, value in zip(self.decoder.decode_many(some, keys, now), keys, some, strict=True):
                checked.append(one if isinstance(one, Refused) else _Good(one, ProducerRecord(key, value)))
        self.metrics.count_posted(refused=sum(isinstance(one, Refused) for one in checked))
        return checked

    @asynccontextmanager
    async def _told(self, waiting: Waiting, wait: float | None) -> AsyncIterator[None]:
        """Have it told of its verdicts while the block runs, where they are waited for."""
        if wait is None:
            yield
            return
        if self.feed is None:
            off = "The topic of all scored transactions is switched off (TXNWATCH_SCORED_TOPIC is empty)"
            raise Unavailable(f"{off}: post without `wait`.", retry_after=3600)
        async with self.feed.follower.hearing():
            with self.feed.verdicts.told(waiting):
                yield

    async def _sent(self, waiting: Waiting, records: Sequence[ProducerRecord]) -> None:
        """Send what has no row yet."""
        rows = await self.known.of([one.transaction for one in waiting.awaited])
        new: list[tuple[Awaited, ProducerRecord]] = []
        for awaited, record, row in zip(waiting.awaited, records, rows, strict=True):
            if row is None:
                new.append((awaited, record))
            else:
                waiting.put(awaited, row)
        self.metrics.count_posted(known=len(records) - len(new))
        if new:
            places = await self._delivered([record for _, record in new])
            for (awaited, _), place in zip(new, places, strict=True):
                awaited.place = place
        self.metrics.count_posted(accepted=len(new))

    async def _delivered(self, records: Sequence[ProducerRecord]) -> list[Place]:
        try:
            return await self.inlet.put(records)
        except (DeliveryError, StopError) as error:
            self.metrics.count_posted(failed=len(records))
            raise Unavailable(
                f"Kafka has not taken all of it: {error}. Post the same again: what it has counts once."
            ) from error

    def _answer(
        self, checked: Sequence["_Good | Refused"], waiting: Waiting, began: float, *, wait: bool
    ) -> web.Response:
        awaited = iter(waiting.awaited)
        ones = [
            PostedOne("refused", reason=one.reason, detail=one.detail)
            if isinstance(one, Refused)
            else _acceptance(next(awaited), wait=wait)
            for one in checked
        ]
        accepted = len(waiting.awaited)
        response = json_response(Posted(accepted, len(ones) - accepted, ones))
        if wait and waiting.complete:
            self.metrics.verdict_seconds.observe(time.monotonic() - began)
        else:
            response.set_status(202)
        return response


class _Good(NamedTuple):
    """A transaction, and the record that is sent of it."""

    transaction: Transaction
    record: ProducerRecord


def _values(body: bytes, media: str) -> list[bytes]:
    """The transactions of a body, each as it stands there."""
    if media == NDJSON:
        values = [line for line in body.splitlines() if line.strip()]
    elif body.lstrip()[:1] == b"[":
        values = _items(body)
    else:
        values = [body]
    if not 0 < len(values) <= _MOST:
        number = f"{len(values):,} transactions, at most {_MOST:,}" if values else "no transaction"
        raise _unread(number)
    return values


def _items(body: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in _ITEMS.decode(body)]
    except (msgspec.DecodeError, RecursionError) as error:
        raise _unread(str(error)) from None


def _key(value: bytes) -> bytes | None:
    try:
        return _USER.decode(value).user_id.lower().encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None  # the decoder says why


def _acceptance(awaited: Awaited, *, wait: bool) -> PostedOne:
    if wait and awaited.row is not None:
        row: Any = msgspec.Raw(awaited.row)
        return PostedOne("scored", awaited.transaction.id, row)
    return PostedOne("accepted", awaited.transaction.id)


def _unread(why: str) -> Problem:
    return Problem(422, "Nothing is accepted.", errors=[ParameterError("body", why)])


def _refused(checked: Sequence["_Good | Refused"]) -> Problem:
    refused = [one for one in checked[:_SHOWN] if isinstance(one, Refused)]
    errors = [
        ParameterError(f"[{number}].{one.reason}" if len(checked) > 1 else one.reason, one.detail)
        for number, one in enumerate(refused)
    ]
    return Problem(422, "Nothing is accepted.", errors=errors)
