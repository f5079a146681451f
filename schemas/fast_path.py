"""The form of nearly all messages, read and checked many at a time: a fifth of the cost of one by one.

What is checked here is checked over all of them at once, so that a failure says that one of them is unusual,
not which, nor that it is wrong.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Raw

from schemas import strict_json
from schemas.money import parse_amount

MAX_STATUS: Final = 32
UUID_LENGTH: Final = 36

Uuid = Annotated[str, msgspec.Meta(min_length=UUID_LENGTH, max_length=UUID_LENGTH)]


class Usual(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message as msgspec reads it."""

    id: Uuid
    user_id: Uuid
    amount: Raw
    currency: Annotated[str, msgspec.Meta(min_length=3, max_length=3)]
    txn_date: datetime
    status: Annotated[str, msgspec.Meta(max_length=MAX_STATUS)]
    meta_data: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(tuple[Usual], float_hook=strict_json.exact_number)
# No message this short can hold all required fields and 100 levels or a number of 309 digits.
_SHORT = 300
_HEX_TO_0 = bytes.maketrans(b"0123456789abcdef", b"0" * 16)
_UUID = b"00000000-0000-0000-0000-000000000000"
_TWO_DECIMALS = re.compile(rb'(?:"?(?:0|[1-9][0-9]{0,17})\.[0-9]{2}"?(?:\n|\Z))*+')


def read(values: Sequence[bytes], keys: Sequence[bytes | None]) -> tuple[list[Usual], list[int]]:
    """The messages in these values, and their amounts in hundredths, when all are of the usual form.

    Then every id is canonical, every key its message's `user_id`, and all of it can be stored. Dates
    are left to the caller.

    Raises:
        ValueError, TypeError, OverflowError: One at least is not; msgspec's errors are ValueErrors.
    """
    messages = _messages(values)
    users = "".join([message.user_id for message in messages]).encode()
    ids = "".join([message.id for message in messages]).encode()
    currencies = "".join([message.currency for message in messages])
    if (
        (ids + users).translate(_HEX_TO_0) != _UUID * (2 * len(messages))
        or b"".join(keys) != users  # type: ignore[arg-type]  # a missing key is the TypeError
        or set(map(len, keys)) != {UUID_LENGTH}  # type: ignore[arg-type]
        or not (currencies.isascii() and currencies.isalpha())
    ):
        raise ValueError
    return messages, _amounts([message.amount for message in messages])


def _messages(values: Sequence[bytes]) -> list[Usual]:
    together = b"]\n[".join(values)
    plain = together.isascii() and b"\\u" not in together and max(map(len, values)) <= _SHORT
    if not (plain or all(map(strict_json.is_plain, values))):
        raise ValueError
    # Each in brackets, on a line of its own. Inside an array, an object or a string no JSON goes on with `]`,
    # line break, `[`: so each value ends what it begins, and as many messages as values is one in each.
    messages = [message for (message,) in _DECODER.decode_lines(b"[" + together + b"]")]
    if len(messages) != len(values):
        raise ValueError
    return messages


def _amounts(raws: list[Raw]) -> list[int]:
    texts = b"\n".join(raws)
    if _TWO_DECIMALS.fullmatch(texts):
        return [*map(int, texts.replace(b'"', b"").replace(b".", b"").split(b"\n"))]
    return [parse_amount(text.strip('"')) for text in texts.decode("ascii").split("\n")]
