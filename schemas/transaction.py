r"""The transactions that producers put on the input topic, and the checks that they have to pass.

A message that `Decoder.decode` returns can be written to Postgres and as JSON; any other raises
`Refused`, whatever its bytes are. When several things are wrong, the reason is the first one in the order
`json` after `size`, then `text`, `id`, `user_id`, `key`, `amount`, `txn_date`, `currency`,
`status`, `meta_data`, `merchant_id`, `card_id`, `country`, `channel`.

- **size** The value is longer than the limit. Checked before anything else.
- **json** One object in UTF-8, without a byte order mark, at most 100 levels deep. Of a key given
  twice the last one counts.
- **text** `\u0000` and lone surrogates cannot be stored, wherever they are.
- **id, user_id** UUIDs with hyphens, in either case; the result is in lower case.
- **key** The record's key is the lower-case text of `user_id`, byte for byte: a user under two
  spellings would be on two partitions, and so have two windows.
- **amount** A number or a string of the same form, at least 0 and below 10^18, with at most two
  decimals by value: 12.300 and 1.23e1 are 12.30. Read as decimal text, never as a float. A bare NaN or
  Infinity is refused as an amount, though it is not JSON.
- **txn_date** RFC 3339 with an offset, years 1 to 9999 in UTC. As the RFC allows, `t`, `z` and a
  space for the `T` will do; the colon of the offset may be left out. More than six digits of a second are
  rounded to microseconds, as Postgres does. A leap second (`:60`) is refused. At most 24 hours ahead of the
  record's timestamp, compared in whole milliseconds; a record without one (below 0) is not compared.
- **currency** Three ASCII letters, kept as they are. **status** At most 32 characters.
- **meta_data** An object, null or absent. Its numbers are within a double's range, at most 308
  digits long, and kept to the last digit. The names that a verdict uses there are left out.
- **merchant_id, card_id** At most 64 characters. **channel** At most 32. No control characters; kept as
  they are. **country** The two letters of ISO 3166-1, kept in capitals, whether there is such a country or
  not. All four may be absent; null and an empty text are as if they were.

Fields of any other name are left out and counted.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import Raw

from schemas import checks, fast_path
from schemas.fast_path import MAX_CHANNEL, MAX_IDENTIFIER
from schemas.refusal import Refused, excerpt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
# Messages in one call of the fast path. One that is not of the ordinary form has all decoded again, in
# halves, so larger calls cost more than they save.
_TOGETHER = 128


class Transaction(msgspec.Struct, frozen=True, gc=False):
    """A valid transaction."""

    id: str
    """Canonical lower-case UUID text, 36 characters, like `user_id`."""
    user_id: str
    amount: int
    """Hundredths of the currency's unit, 0 <= amount < 10^20."""
    currency: str
    """Three ASCII letters."""
    txn_date: datetime
    """Aware, in UTC."""
    status: str
    """At most 32 characters."""
    meta_data: dict[str, Any] | None
    unknown: int = 0
    """How many fields of other names were left out."""
    merchant_id: str | None = None
    """At most 64 characters, like `card_id`; all four are None where absent, null or empty."""
    card_id: str | None = None
    country: str | None = None
    """Two capitals."""
    channel: str | None = None
    """At most 32 characters."""


_DATE = msgspec.json.Decoder(datetime)


class Decoder:
    """Decodes transactions from Kafka records.

    >>> decoder = Decoder()
    >>> user = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
    >>> txn = decoder.decode(
    ...     b'{"id": "F06A72CF-E094-50A7-B663-8929E421DD6F", "user_id": "%b", "amount": 12.30,'
    ...     b' "currency": "INR", "txn_date": "2018-04-01T05:30:31+05:30", "status": "paid"}' % user.encode(),
    ...     key=user.encode(), timestamp_ms=1522540831000,
    ... )
    >>> txn.id, txn.amount, txn.txn_date.isoformat(), txn.meta_data
    ('f06a72cf-e094-50a7-b663-8929e421dd6f', 1230, '2018-04-01T00:00:31+00:00', None)
    >>> decoder.decode(b"[1]", key=None, timestamp_ms=0)
    Traceback (most recent call last):
    schemas.refusal.Refused: json: Expected `object`, got `array`
    """

    def __init__(
        self,
        max_bytes: int = 65536,
        max_ahead: timedelta = timedelta(hours=24),
        verdict_names: frozenset[str] = frozenset(),
    ) -> None:
        self.max_bytes = max_bytes
        self._verdict_names = verdict_names
        self._max_ahead_ms = max_ahead // _MILLISECOND

    def decode(self, value: bytes, key: bytes | None, timestamp_ms: int) -> Transaction:
        """Decode one record.

        Args:
            value: The record's value, which is not a tombstone.
            key: The record's key.
            timestamp_ms: The record's timestamp, milliseconds since 1970; below 0 if it has none.

        Raises:
            Refused: The record is not a valid transaction; no other error is raised.
        """
        found = self._decode([value], [key], [timestamp_ms])[0]
        if isinstance(found, Refused):
            raise found
        return found

    def decode_many(
        self, values: Sequence[bytes], keys: Sequence[bytes | None], timestamps_ms: Sequence[int]
    ) -> list[Transaction | Refused]:
        """Decode many records as `decode` does each, several times as fast; refusals are returned."""
        found: list[Transaction | Refused] = []
        for start in range(0, len(values), _TOGETHER):
            part = slice(start, start + _TOGETHER)
            found += self._decode(values[part], keys[part], timestamps_ms[part])
        return found

    def _decode(
        self, values: Sequence[bytes], keys: Sequence[bytes | None], timestamps_ms: Sequence[int]
    ) -> Sequence[Transaction | Refused]:
        """Decode at least one record: together if all are of the ordinary form, otherwise each half apart."""
        try:
            return self._decode_fast(values, keys, timestamps_ms)
        except (TypeError, ValueError, OverflowError):
            if len(values) == 1:
                return [self._decode_slow(values[0], keys[0], timestamps_ms[0])]
        half = len(values) // 2
        return [
            *self._decode(values[:half], keys[:half], timestamps_ms[:half]),
            *self._decode(values[half:], keys[half:], timestamps_ms[half:]),
        ]

    def _decode_fast(
        self, values: Sequence[bytes], keys: Sequence[bytes | None], timestamps_ms: Sequence[int]
    ) -> list[Transaction]:
        if max(map(len, values)) > self.max_bytes:
            raise ValueError
        messages, amounts = fast_path.read(values, keys)
        dates = [message.txn_date for message in messages]
        if {date.tzinfo for date in dates} != {UTC} or self.is_ahead(max(dates), min(timestamps_ms)):
            dates = list(map(self._in_time, dates, timestamps_ms))
        metas = [message.meta_data and self._producers_own(message.meta_data) for message in messages]
        parts = zip(messages, amounts, dates, metas, strict=True)
        if fast_path.are_full(messages):
            return [
                Transaction(one.id, one.user_id, amount, one.currency, date, one.status, meta, 0, *more)
                for (one, amount, date, meta), more in zip(parts, fast_path.optional(messages), strict=True)
            ]
        return [
            Transaction(one.id, one.user_id, amount, one.currency, date, one.status, meta)
            for one, amount, date, meta in parts
        ]

    def _decode_slow(self, value: bytes, key: bytes | None, timestamp_ms: int) -> Transaction | Refused:
        try:
            return self._checked(value, key, timestamp_ms)
        except Refused as refused:
            return refused

    def _checked(self, value: bytes, key: bytes | None, timestamp_ms: int) -> Transaction:
        if len(value) > self.max_bytes:
            raise Refused("size", f"{len(value)} bytes, at most {self.max_bytes}")
        fields = checks.split(value)
        known = {name: raw for name, raw in fields.items() if name in checks.FIELDS}
        txn_id = checks.uuid_of("id", known)
        user_id = checks.uuid_of("user_id", known)
        checks.check_key(key, user_id)
        return Transaction(
            id=txn_id,
            user_id=user_id,
            amount=checks.amount_of(known),
            txn_date=self._checked_date(known, timestamp_ms),
            currency=checks.currency_of(known),
            status=checks.status_of(known),
            meta_data=self._producers_own(checks.meta_data_of(known)),
            unknown=len(fields) - len(known),
            merchant_id=checks.optional_of("merchant_id", known, MAX_IDENTIFIER),
            card_id=checks.optional_of("card_id", known, MAX_IDENTIFIER),
            country=checks.country_of(known),
            channel=checks.optional_of("channel", known, MAX_CHANNEL),
        )

    def _producers_own(self, meta: dict[str, Any] | None) -> dict[str, Any] | None:
        """What no verdict says: an export that is fed back would keep the former one's numbers."""
        if not meta or self._verdict_names.isdisjoint(meta):
            return meta
        return {name: value for name, value in meta.items() if name not in self._verdict_names}

    def _checked_date(self, known: dict[str, Raw], timestamp_ms: int) -> datetime:
        text = checks.text_of("txn_date", known)
        try:
            return self._in_time(_DATE.decode(known["txn_date"]), timestamp_ms)
        except msgspec.ValidationError:
            raise Refused("txn_date", f"{excerpt(text)} is not an RFC 3339 date and time") from None
        except OverflowError:
            raise Refused("txn_date", f"{excerpt(text)} is not in the years 1 to 9999 in UTC") from None
        except ValueError as error:
            raise Refused("txn_date", f"{excerpt(text)}: {error}") from None

    def _in_time(self, date: datetime, timestamp_ms: int) -> datetime:
        if date.tzinfo is None:
            raise ValueError("no offset from UTC")
        date = date.astimezone(UTC)
        if timestamp_ms >= 0 and self.is_ahead(date, timestamp_ms):
            raise ValueError("too far ahead of the record's timestamp")
        return date

    def is_ahead(self, date: datetime, timestamp_ms: int) -> bool:
        """Whether a date is further ahead of a record's timestamp than it may be."""
        return (date - _EPOCH) // _MILLISECOND - timestamp_ms > self._max_ahead_ms
