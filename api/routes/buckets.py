# ruff: noqa: RUF009 - the calls declare fields, as dataclasses.field does
"""Counts, sums and flags by hour or day and currency."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from api.reading.buckets import MOST_BUCKETS, UNITS, Buckets
from api.reading.database import Database
from api.routes.rows import last_days, ranges_in_order
from api.web.params import FROM, TO, UUID, one_of, query, text
from api.web.problems import BadParameters, ParameterError
from api.web.route import Route, json_response
from schemas.text import Moment, Money

_FROM = "The bucket that it is in is the first. Default: 30 days before to_date, or before now."
_TO = "The bucket that it is in is the last. Default: no end."


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedBuckets:
    """Which buckets."""

    every: str = query(one_of(*UNITS), "How long each is, in UTC.", default="day")
    user_id: str | None = query(UUID, "Only this user's transactions.")
    currency: str | None = query(text(3, "INR"), "Only those in this currency, as rows spell it.")
    from_date: datetime | None = query(FROM, _FROM)
    to_date: datetime | None = query(TO, _TO)


class TimeBucket(msgspec.Struct, frozen=True):
    """The transactions of an hour or a day in one currency, by their dates."""

    start: Moment
    currency: str
    count: int
    sum: Money
    flagged: int
    """How many of them."""


class BucketsAnswer(msgspec.Struct, frozen=True):
    """Oldest first, then by currency; those without a transaction are left out.

    Describes the text that Postgres makes of them.
    """

    buckets: list[TimeBucket]


@dataclass(frozen=True)
class BucketRoutes:
    """`/transactions/buckets`."""

    database: Database
    now: Callable[[], datetime]

    def _in_order(self, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        return ranges_in_order(values)

    @Route(
        "/transactions/buckets",
        "pages_buckets",
        parameters=AskedBuckets,
        check=_in_order,
        body=BucketsAnswer,
        depends=True,
    )
    async def buckets(self, _request: web.Request, query: AskedBuckets) -> web.Response:
        """Counts, sums and flags by hour or day and currency."""
        asked = Buckets(
            every=query.every,
            from_date=last_days(query.from_date, query.to_date, self.now),
            to_date=query.to_date,
            currency=query.currency,
            user_id=query.user_id,
        )
        buckets, count = await self.database.buckets(asked)
        if count > MOST_BUCKETS:
            why = f"the range has more than {MOST_BUCKETS:,} buckets: make it shorter, or name a currency"
            raise BadParameters([ParameterError("from_date", why)])
        return json_response(f'{{"buckets":[{buckets}]}}'.encode())
