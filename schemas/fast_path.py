"""Decoding of many messages of the ordinary form at once: a fifth of the cost of decoding each alone.

Every check is over all messages of the call. A failure means that at least one message is not of the ordinary
form: not which one, and not that it is invalid. `schemas.transaction.Decoder` then splits the call in halves.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeGuard

import msgspec
from msgspec import Raw

from schemas import strict_json
from schemas.money import parse_amount

MAX_STATUS: Final = 32
MAX_IDENTIFIER: Final = 64
MAX_CHANNEL: Final = 32
UUID_LENGTH: Final = 36

Optional = tuple[str | None, str | None, str | None, str | None]
Uuid = Annotated[str, msgspec.Meta(min_length=UUID_LENGTH, max_length=UUID_LENGTH)]


class RawMessage(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The fields as msgspec reads them, the amount still undecoded."""

    id: Uuid
    user_id: Uuid
    amount: Raw
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    txn_date: datetime
    status: Annotated[str, msgspec.Meta(max_length=MAX_STATUS)]
    meta_data: dict[str, Any] | None = None


class FullMessage(RawMessage, gc=False):
    """A message that may have the optional fields, too."""

    merchant_id: Annotated[str, msgspec.Meta(max_length=MAX_IDENTIFIER)] | None = None
    card_id: Annotated[str, msgspec.Meta(max_length=MAX_IDENTIFIER)] | None = None
    country: str | None = None
    channel: Annotated[str, msgspec.Meta(max_length=MAX_CHANNEL)] | None = None


_DECODER = msgspec.json.Decoder(tuple[RawMessage], float_hook=strict_json.exact_number)
_FULL_DECODER = msgspec.json.Decoder(tuple[FullMessage], float_hook=strict_json.exact_number)
# A message this short cannot hold all required fields beside 100 levels of nesting or a number of 309 digits.
_SHORT = 300
_HEX_TO_0 = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
_UUID = b"00000000-0000-0000-0000-000000000000"
_COUNTRY = re.compile("(?:[A-Za-z]{2})?")
_TWO_DECIMALS = re.compile(rb'(?:"?(?:0|[1-9][0-9]{0,17})\.[0-9]{2}"?(?:\n|\Z))*+')


def read(values: Sequence[bytes], keys: Sequence[bytes | None]) -> tuple[Sequence[RawMessage], list[int]]:
    """Read messages that are all of the ordinary form, and their amounts in hundredths.

    Every id is then canonical, every key is its message's `user_id`, and everything can be stored. The caller
    checks the dates.

    Raises:
        ValueError: At least one is not of this form; msgspec's errors are ValueErrors too.
        TypeError: At least one key is missing.
        OverflowError: At least one date is out of range.
    """
    messages = _messages(values)
    users = "".join([message.user_id for message in messages]).encode()
    ids = "".join([message.id for message in messages]).encode()
    currencies = "".join([message.currency for message in messages])
    if (
        (ids + users).translate(_HEX_TO_0) != _UUID * (2 * len(messages))
        or b"".join(keys) != users  # type: ignore[arg-type]  # None is the TypeError
        or set(map(len, keys)) != {UUID_LENGTH}  # type: ignore[arg-type]
        or not (currencies.isascii() and currencies.isalpha())
    ):
        raise ValueError
    return messages, _amounts([message.amount for message in messages])


def _messages(values: Sequence[bytes]) -> Sequence[RawMessage]:
    together = b"]\n[".join(values)
    plain = together.isascii() and b"\\u" not in together and max(map(len, values)) <= _SHORT
    if not (plain or all(map(strict_json.is_plain, values))):
        raise ValueError
    # Each value goes in brackets on a line of its own. No array, object or string of JSON continues with `]`,
    # line break, `[`, so no value can be completed by its neighbour; equal counts mean one message in each.
    messages = _decoded(b"[" + together + b"]")
    if len(messages) != len(values):
        raise ValueError
    return messages


def _decoded(lines: bytes) -> Sequence[RawMessage]:
    """The messages, all with the optional fields only if any has one: they cost nothing where none has."""
    try:
        return [message for (message,) in _DECODER.decode_lines(lines)]
    except msgspec.ValidationError:
        return [message for (message,) in _FULL_DECODER.decode_lines(lines)]


def are_full(messages: Sequence[RawMessage]) -> TypeGuard[Sequence[FullMessage]]:
    """Whether any of these, which were read together, has an optional field."""
    return isinstance(messages[0], FullMessage)


def optional(messages: Sequence[FullMessage]) -> list[Optional]:
    """Each message's merchant, card, country and channel.

    Raises:
        ValueError: At least one has a country that is none, or what may be a control character.
    """
    texts = "".join([f"{one.merchant_id}{one.card_id}{one.channel}" for one in messages])
    if not texts.isprintable():
        raise ValueError
    countries = {text: country_of(text or "") for text in {one.country for one in messages}}
    return [
        (one.merchant_id or None, one.card_id or None, countries[one.country], one.channel or None)
        for one in messages
    ]


def country_of(text: str) -> str | None:
    """A country's two letters in capitals; None of an empty text.

    Raises:
        ValueError: These are not two letters.
    """
    if not _COUNTRY.fullmatch(text):
        raise ValueError("not the two letters of ISO 3166-1, as IN")
    return text.upper() or None


def _amounts(raws: list[Raw]) -> list[int]:
    texts = b"\n".join(raws)
    if _TWO_DECIMALS.fullmatch(texts):
        return [*map(int, texts.replace(b'"', b"").replace(b".", b"").split(b"\n"))]
    return [parse_amount(text.strip('"')) for text in texts.decode("ascii").split("\n")]
