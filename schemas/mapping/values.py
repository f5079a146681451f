"""What sources have as values, as text: cells of tables, and what JSON, Avro, Parquet and sheets hold."""

from datetime import date
from decimal import Decimal
from typing import Final
from uuid import UUID

EMPTY: Final = frozenset(["", "null", "nan", "none", "n/a", "<na>", "\\n"])
"""What databases and data frames write for nothing, in any case."""
_LONGEST_EMPTY = max(map(len, EMPTY))


def cell_of(text: str) -> str:
    """A cell's text; nothing for what databases and data frames write for nothing."""
    text = text.strip()
    return "" if len(text) <= _LONGEST_EMPTY and text.lower() in EMPTY else text


def text_of(value: object) -> str:
    """A value as text, empty for nothing: the same for a number in a table, in JSON and in Avro.

    Raises:
        ValueError: It is no text: a list, an object, or bytes that are not UTF-8.

    >>> [text_of(value) for value in (" C17 ", 17, 17.0, Decimal("17.50"), "NULL", True)]
    ['C17', '17', '17', '17.50', '', 'true']
    """
    if isinstance(value, str):
        return cell_of(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | UUID):
        return str(value)
    return _other(value)


def _other(value: object) -> str:
    if isinstance(value, float | Decimal):
        text = repr(value) if isinstance(value, float) else str(value)
        return cell_of(text.removesuffix(".0"))
    if isinstance(value, bytes | bytearray):
        return cell_of(value.decode())
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError(f"{'an object' if isinstance(value, dict) else f'a {type(value).__name__}'}, not a text")
