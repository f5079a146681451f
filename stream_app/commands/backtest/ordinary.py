"""Rows of the ordinary form, many at a time and column by column: at a tenth of the cost of each alone.

Every check is over all rows of a call. A failure says that at least one of them is not of this form: not
which, and not that it is invalid. Whoever calls reads them in halves, and one alone as `infra.produce` does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final

import msgspec

from infra.produce.labels import LABEL, SCENARIO, LabelWords
from schemas.fast_path import MAX_CHANNEL, MAX_IDENTIFIER, MAX_STATUS, country_of
from schemas.mapping.values import cell_of
from schemas.money import parse_amount
from schemas.transaction import Transaction
from stream_app.commands.backtest.rows import Piece

NOT_ORDINARY: Final = (ValueError, TypeError, OverflowError)
"""What is raised where at least one row is not of this form."""
REQUIRED: Final = frozenset(["id", "user_id", "amount", "currency", "txn_date", "status"])
IDENTIFIERS: Final = {
    "merchant_id": MAX_IDENTIFIER,
    "card_id": MAX_IDENTIFIER,
    "country": 2,
    "channel": MAX_CHANNEL,
}
"""The optional fields, and how long each may be."""

_HEX_TO_0 = str.maketrans("0123456789abcdef", "0" * 16)
_UUID = "00000000-0000-0000-0000-000000000000\n"
_TWO_DECIMALS = re.compile(r"(?:(?:0|[1-9][0-9]{0,17})\.[0-9]{2}(?:\n|\Z))*+")
_ONE_WAY = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,2})?")
_CURRENCY = re.compile("[A-Za-z]{3}")
_MOST_KNOWN = 100_000
Cells = Mapping[str, Sequence[Any]]
"""Each field's cells; one that has no column is absent."""


class Identifiers(dict[str | None, str | None]):
    """Texts of an optional field as transactions have them; ValueError for one of another form."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._is_country, self._most = name == "country", IDENTIFIERS[name]

    def __missing__(self, text: str | None) -> str | None:
        if text and (cell_of(text) != text or len(text) > self._most or not text.isprintable()):
            raise ValueError
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[text] = country_of(text or "") if self._is_country else text or None
        return found


@dataclass(slots=True)
class OrdinaryForm:
    """Makes rows of columns; `defaults` are for fields without one. No date may be after `latest`."""

    defaults: Mapping[str, str]
    words: LabelWords
    latest: datetime
    _: KW_ONLY
    assume_utc: bool = False
    _known: dict[str, Identifiers] = field(
        default_factory=lambda: {name: Identifiers(name) for name in IDENTIFIERS}
    )

    def rows(self, cells: Cells) -> Piece:
        """The rows.

        Raises:
            ValueError: At least one of them is not of the ordinary form; or one of the other `NOT_ORDINARY`.
        """
        ids, users = cells["id"], cells["user_id"]
        if "\n".join([*ids, *users, ""]).translate(_HEX_TO_0) != _UUID * (2 * len(ids)):
            raise ValueError
        if "meta_data" in cells and any(cells["meta_data"]):
            raise ValueError
        columns = (
            _amounts(cells["amount"]),
            self._texts("currency", cells, _is_currency),
            self._dates(cells["txn_date"]),
            self._texts("status", cells, _is_status),
            *(repeat(None), repeat(0)),
            *(self._identifiers(name, cells) for name in IDENTIFIERS),
        )
        return Piece(
            [*map(Transaction, ids, users, *columns)],
            [*map(self.words.__getitem__, cells.get(LABEL, []))],
            [*cells.get(SCENARIO, [])],
        )

    def _identifiers(self, name: str, cells: Cells) -> Iterable[str | None]:
        return map(self._known[name].__getitem__, cells[name]) if name in cells else repeat(None)

    def _texts(self, name: str, cells: Cells, is_ordinary: Callable[[str], bool]) -> Iterable[str]:
        if name not in cells:
            return repeat(self.defaults[name])
        if not all(map(is_ordinary, {*cells[name]})):
            raise ValueError
        return cells[name]

    def _dates(self, texts: Sequence[str]) -> list[datetime]:
        dates = msgspec.convert(texts, list[datetime])
        if self.assume_utc:
            dates = [date if date.tzinfo else date.replace(tzinfo=UTC) for date in dates]
        if {date.tzinfo for date in dates} != {UTC} or max(dates) > self.latest:
            raise ValueError
        return dates


def _amounts(texts: Sequence[str]) -> list[int]:
    together = "\n".join(texts)
    if _TWO_DECIMALS.fullmatch(together) and together.count("\n") == len(texts) - 1:
        return [*map(int, together.replace(".", "").split("\n"))]
    if not all(map(_ONE_WAY.fullmatch, texts)):
        raise ValueError
    return [*map(parse_amount, texts)]


def _is_currency(text: str) -> bool:
    return _CURRENCY.fullmatch(text) is not None and cell_of(text) == text


def _is_status(text: str) -> bool:
    return 0 < len(text) <= MAX_STATUS and cell_of(text) == text and "\0" not in text
