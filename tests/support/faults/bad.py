"""Messages that are no transactions, made of ones that are, each with the reason that it is refused for."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from random import Random
from typing import Any, TypeAlias

from tests.support.traffic import Sent

Message: TypeAlias = "tuple[bytes | None, bytes | None, str | None]"
"""Key, value, and the reason that it is refused for: None for a transaction, `tombstone` for no value."""


def good(sent: Sent, **meta_data: Any) -> Message:
    """A transaction."""
    value = {**asdict(sent), "meta_data": meta_data} if meta_data else asdict(sent)
    return sent.key, json.dumps(value).encode(), None


def _with(reason: str, **fields: Any) -> Callable[[Sent], Message]:
    def spoil(sent: Sent) -> Message:
        value = {name: value for name, value in (asdict(sent) | fields).items() if value is not ...}
        return sent.key, json.dumps(value).encode(), reason

    return spoil


def _amount(text: str) -> Callable[[Sent], Message]:
    """The amount written out, as JSON text."""

    def spoil(sent: Sent) -> Message:
        whole = json.dumps(asdict(sent))
        return sent.key, whole.replace(f'"{sent.amount}"', text).encode(), "amount"

    return spoil


def _bytes(value: bytes | Callable[[bytes], bytes]) -> Callable[[Sent], Message]:
    def spoil(sent: Sent) -> Message:
        return sent.key, value if isinstance(value, bytes) else value(sent.value), "json"

    return spoil


SPOILERS: list[Callable[[Sent], Message]] = [
    *map(_amount, ['"NaN"', '"Infinity"', "1e400", "9" * 30, "0.001", '"1000000000000000000.00"', "-0.01"]),
    *map(_amount, ["true", "null", "{}"]),
    *map(_bytes, [b"", b" ", b"null", b"[1]", b"\xff\xfe", b"[" * 5000]),
    _bytes(lambda value: value.replace(b'"INR"', b"NaN")),
    _bytes(lambda value: value + b"x"),
    _bytes(lambda value: b"\xef\xbb\xbf" + value),
    _bytes(lambda value: value.decode().encode("utf-16")),
    _with("size", note="x" * 66_000),
    _with("text", status="\0"),
    _with("text", status="\ud800"),
    _with("id", id=...),
    _with("id", id="1"),
    _with("user_id", user_id=...),
    _with("user_id", user_id="me"),
    lambda sent: (None, sent.value, "key"),
    lambda sent: (sent.key.upper(), sent.value, "key") if sent.key.upper() != sent.key else _no_key(sent),
    *(
        _with("txn_date", txn_date=date)
        for date in (
            "2024-01-01T00:00:00",
            "2024-01-01",
            "0000-01-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "0001-01-01T00:00:00+14:00",
            "9999-12-31T23:59:59-12:00",
            "9998-01-01T00:00:00Z",
        )
    ),
    _with("currency", currency="EURO"),
    _with("status", status="x" * 33),
    _with("merchant_id", merchant_id=7),
    _with("country", country="IND"),
    lambda sent: (sent.key, None, "tombstone"),
]


def _no_key(sent: Sent) -> Message:
    return None, sent.value, "key"


def mixed(transactions: Iterable[Sent], *, share: float, seed: int) -> Iterator[Message]:
    """The transactions, with about this share of bad messages among them, every kind in turn."""
    random, number = Random(seed), 0
    for sent in transactions:
        if random.random() < share:
            yield SPOILERS[number % len(SPOILERS)](sent)
            number += 1
        yield good(sent)
