"""The fields of a message and their checks, one by one: the way of messages that the fast path leaves.

Each check raises `Refused` under its field's name; `schemas.transaction` says what passes.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from schemas import fast_path, strict_json
from schemas.fast_path import MAX_STATUS
from schemas.money import parse_amount
from schemas.refusal import Reason, Refused, excerpt

OPTIONAL: Final = ("merchant_id", "card_id", "country", "channel")
"""The fields that a transaction may have beside those that all have, in the order of rows and columns."""
FIELDS: Final = frozenset(
    ["id", "user_id", "amount", "currency", "txn_date", "status", "meta_data", *OPTIONAL]
)

_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# Producers write NaN or Infinity for a float that is not a number. That is not JSON, but the reason should be
# `amount`: with `false` in its place the rest can be read.
_NOT_A_NUMBER = re.compile(rb'("amount"\s*:\s*)(?:NaN|-?Infinity)\b')
_TEXT = msgspec.json.Decoder(str)
_OPTIONAL_TEXT = msgspec.json.Decoder(str | None)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_META = msgspec.json.Decoder(dict[str, Any] | None, float_hook=strict_json.exact_number)


def split(value: bytes) -> dict[str, Raw]:
    """The fields of a message, still encoded."""
    try:
        return strict_json.fields(value)
    except strict_json.NotJsonError as error:
        fields = _fields_without_number(value)
        if fields is None:
            raise Refused("json", str(error)) from None
        return fields
    except strict_json.NotTextError as error:
        raise Refused("text", str(error)) from None


def _fields_without_number(value: bytes) -> dict[str, Raw] | None:
    """The fields of a message that would be JSON but for an amount of NaN or Infinity; None for any other."""
    try:
        fields = strict_json.fields(_NOT_A_NUMBER.sub(rb"\1false", value))
    except (strict_json.NotJsonError, strict_json.NotTextError):
        return None
    return fields if bytes(fields.get("amount", b"")) == b"false" else None


def text_of(name: Reason, known: dict[str, Raw]) -> str:
    """A text that has to be there."""
    if name not in known:
        raise Refused(name, "missing")
    try:
        return _TEXT.decode(known[name])
    except msgspec.ValidationError:
        raise Refused(name, "not a string") from None


def uuid_of(name: Reason, known: dict[str, Raw]) -> str:
    """A UUID in lower case."""
    text = text_of(name, known)
    canonical = text.lower()
    # Lower-casing turns no other character into a hex digit: only K and İ become ASCII letters, k and i.
    if not _UUID.fullmatch(canonical):
        raise Refused(name, f"{excerpt(text)} is not a UUID with hyphens")
    return canonical


def check_key(key: bytes | None, user_id: str) -> None:
    """Raise unless the record's key is the user's id."""
    if key is None:
        raise Refused("key", "missing; it has to be the text of user_id")
    if key != user_id.encode():
        raise Refused(
            "key",
            f"{excerpt(key)} is not {user_id}, the lower-case text of user_id: "
            "another spelling would put the user on another partition",
        )


def amount_of(known: dict[str, Raw]) -> int:
    """The amount in hundredths."""
    if "amount" not in known:
        raise Refused("amount", "missing")
    raw = known["amount"]
    text = str(raw, "utf-8")
    if text[0] == '"':
        text = _TEXT.decode(raw)
    try:
        return parse_amount(text)
    except ValueError as error:
        raise Refused("amount", f"{excerpt(text)}: {error}") from None


def currency_of(known: dict[str, Raw]) -> str:
    """The currency as it is."""
    currency = text_of("currency", known)
    if len(currency) != 3 or not (currency.isascii() and currency.isalpha()):  # noqa: PLR2004 - ISO 4217
        raise Refused("currency", f"{excerpt(currency)} is not three letters")
    return currency


def status_of(known: dict[str, Raw]) -> str:
    """The status as it is."""
    status = text_of("status", known)
    if len(status) > MAX_STATUS:
        raise Refused("status", f"{len(status)} characters, at most {MAX_STATUS}")
    return status


def meta_data_of(known: dict[str, Raw]) -> dict[str, Any] | None:
    """The producer's own."""
    try:
        meta: dict[str, Any] | None = _META.decode(known.get("meta_data", b"null"))
        strict_json.check_integers(meta)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused("meta_data", str(error)) from None
    return meta


def _optional_text(name: Reason, known: dict[str, Raw]) -> str | None:
    try:
        return _OPTIONAL_TEXT.decode(known.get(name, b"null")) or None
    except msgspec.ValidationError:
        raise Refused(name, "not a string") from None


def optional_of(name: Reason, known: dict[str, Raw], most: int) -> str | None:
    """A text that may be absent."""
    text = _optional_text(name, known)
    if text and len(text) > most:
        raise Refused(name, f"{len(text)} characters, at most {most}")
    if text and _CONTROL.search(text):
        raise Refused(name, f"{excerpt(text)} has a control character")
    return text


def country_of(known: dict[str, Raw]) -> str | None:
    """The country in capitals, if there is one."""
    country = _optional_text("country", known) or ""
    try:
        return fast_path.country_of(country)
    except ValueError as error:
        raise Refused("country", f"{excerpt(country)} is {error}") from None
