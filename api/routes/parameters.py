# ruff: noqa: RUF009  # the calls declare fields, as dataclasses.field does
"""The parameters of each route."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.live.event_id import EventId, parse
from api.reading.cursors import Cursors
from api.web.params import (
    AMOUNT,
    FLAG,
    FROM,
    MILLISECONDS,
    OPAQUE,
    TEXT,
    TO,
    UUID,
    UUID_PREFIX,
    Kind,
    header,
    integer,
    path,
    query,
)
from api.web.problems import ParameterError

EVENT_ID = Kind(parse, {"type": "string", "examples": ["earliest", "1f0c9a3e.0-15.1-7.2-0.3-99"]})

_FROM = (
    "The earliest txn_date, included. Without an offset it is UTC; a date alone is its first moment. "
    "Default: 30 days before to_date, or before now."
)
_TO = (
    "The latest txn_date, included. Without an offset it is UTC; a date alone is its last moment. "
    "Default: no end, so that transactions dated ahead are seen."
)
_CURSOR = (
    "The cursor of the page before. It holds for this user whatever the other filters are; "
    "empty: from the start."
)
_LIMIT = "How many at most. Default: 100 in JSON, all in the other forms."
_LAST_SEEN = (
    "The id of the last event seen. The stream goes on after it, without a gap or a repeat. "
    "`earliest`: from the first record that there is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A route without parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file of one of the pages."""

    file: str = path(TEXT, "The file's name.")


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """What came after a time."""

    after: int = query(MILLISECONDS, "Only what is later than this, in milliseconds since 1970.", default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Some users by the beginning of their ids."""

    prefix: tuple[str, str] = query(UUID_PREFIX, "How their ids begin; empty: any.", required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Users:
    """A page of the list of users."""

    limit: int = query(integer(1, 10_000), "How many at most.", default=1000)
    cursor: str | None = query(OPAQUE, "The cursor of the page before; empty: from the start.", blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One user."""

    user_id: str = path(UUID, "The user.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """A page of one user's transactions."""

    user_id: str = query(UUID, "The user.", required=True)
    from_date: datetime | None = query(FROM, _FROM)
    to_date: datetime | None = query(TO, _TO)
    min_amount: Decimal | None = query(AMOUNT, "The smallest amount, included.")
    max_amount: Decimal | None = query(AMOUNT, "The largest amount, included.")
    is_anomaly: bool | None = query(FLAG, "Only those flagged (true), or only the others (false).")
    limit: int | None = query(integer(1, 1000), _LIMIT)
    cursor: str | None = query(OPAQUE, _CURSOR, blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anomalies:
    """A page of the flagged transactions."""

    user_id: str | None = query(UUID, "Only this user's.")
    from_date: datetime | None = query(FROM, _FROM)
    to_date: datetime | None = query(TO, _TO)
    limit: int | None = query(integer(1, 1000), _LIMIT)
    cursor: str | None = query(OPAQUE, _CURSOR, blank=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserStream:
    """One user's live transactions."""

    user_id: str = path(UUID, "The user.")
    last_event_id: EventId | None = query(EVENT_ID, _LAST_SEEN, blank=True)
    last_event_header: EventId | None = header(
        "Last-Event-ID", EVENT_ID, f"{_LAST_SEEN} It outweighs last_event_id."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AnomalyStream:
    """The live flags."""

    user_id: str | None = query(UUID, "Only this user's.")
    last_event_id: EventId | None = query(EVENT_ID, _LAST_SEEN, blank=True)
    last_event_header: EventId | None = header(
        "Last-Event-ID", EVENT_ID, f"{_LAST_SEEN} It outweighs last_event_id."
    )


# --- What must fit together ------------------------------------------------------------------


def ranges_in_order(values: Mapping[str, Any]) -> Iterator[ParameterError]:
    """No range may end before it starts."""
    for low, high in (("from_date", "to_date"), ("min_amount", "max_amount")):
        start, end = values.get(low), values.get(high)
        if start is not None and end is not None and start > end:
            yield ParameterError(low, f"must not be above {high}")


def row_cursor_opens(cursors: Cursors) -> Any:
    """The check that the cursor of a page of rows is one of ours, for this user."""

    def check(values: Mapping[str, Any]) -> Iterator[ParameterError]:
        if values.get("cursor") and "user_id" in values:
            try:
                cursors.to_row(values["user_id"], values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    return check


def user_cursor_opens(cursors: Cursors) -> Any:
    """The check that the cursor of a page of users is one of ours."""

    def check(values: Mapping[str, Any]) -> Iterator[ParameterError]:
        if values.get("cursor"):
            try:
                cursors.to_user(values["cursor"])
            except ValueError as refused:
                yield ParameterError("cursor", str(refused))

    return check
