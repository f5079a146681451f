"""Rows of the ordinary form, many at a time: at a tenth of the cost of reading each alone.

Every check is over all rows of a call. A failure says that at least one of them is not of this form: not
which, and not that it is invalid. Whoever calls reads them in halves, and one alone as `infra.produce` does.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Raw

from infra.produce.rows import cell_of
from schemas.fast_path import MAX_CHANNEL, MAX_IDENTIFIER, MAX_STATUS, Uuid, country_of
from schemas.money import parse_amount
from schemas.transaction import Transaction
from stream_app.commands.backtest.labels import LABEL, SCENARIO, LabelWords
from stream_app.commands.backtest.rows import Label, Piece

_HEX_TO_0 = str.maketrans("0123456789abcdef", "0" * 16)
_UUID = "00000000-0000-0000-0000-000000000000"
_TWO_DECIMALS = re.compile(r"(?:(?:0|[1-9][0-9]{0,17})\.[0-9]{2}(?:\n|\Z))*+")
_ONE_WAY = re.compile(r"(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,2})?")
_CURRENCY = re.compile("[A-Za-z]{3}")
# The csv module refuses a row with a longer cell, whatever column that is in.
_Cell = Annotated[str, msgspec.Meta(max_length=131_072)]
_CELLS: Mapping[str, Any] = {"id": Uuid, "user_id": Uuid, "txn_date": datetime, "meta_data": Literal[""]}
_IDENTIFIERS = {
    "merchant_id": MAX_IDENTIFIER,
    "card_id": MAX_IDENTIFIER,
    "country": 2,
    "channel": MAX_CHANNEL,
}
_JSON: Mapping[str, Any] = {
    **_CELLS,
    **dict.fromkeys(_IDENTIFIERS, str | None),
    "amount": Raw,
    "meta_data": None,
    LABEL: Any,
    SCENARIO: Any,
}
REQUIRED: Final = frozenset(["id", "user_id", "amount", "currency", "txn_date", "status"])
_OPTIONAL = ("meta_data", LABEL, SCENARIO, *_IDENTIFIERS)
_MOST_KNOWN = 100_000


class Identifiers(dict[str | None, str | None]):
    """Texts of an optional field as transactions have them; ValueError for one of another form."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._is_country, self._most = name == "country", _IDENTIFIERS[name]

    def __missing__(self, text: str | None) -> str | None:
        if text and (cell_of(text) != text or len(text) > self._most or not text.isprintable()):
            raise ValueError
        if len(self) >= _MOST_KNOWN:
            self.clear()
        found = self[text] = country_of(text or "") if self._is_country else text or None
        return found


@dataclass(slots=True)
class OrdinaryForm:
    """Reads lines of JSON as the rows of one table: arrays of texts, or objects where `objects` says so.

    `columns` are the table's, each with the field that it is or None; `defaults` are for fields without one.
    No date may be after `latest`.
    """

    columns: Sequence[tuple[str, str | None]]
    defaults: Mapping[str, str]
    words: LabelWords
    latest: datetime
    _: KW_ONLY
    assume_utc: bool = False
    objects: bool = False
    _read: Callable[[bytes], Sequence[Any]] = field(init=False)
    _fields: frozenset[str] = field(init=False)
    _known: dict[str, "Identifiers"] = field(init=False)

    def __post_init__(self) -> None:
        self._fields = frozenset(name for _, name in self.columns if name)
        self._known = {name: Identifiers(name) for name in _IDENTIFIERS}
        kinds = _JSON if self.objects else _CELLS
        row = msgspec.defstruct(
            "_Row",
            [self._field(at, column, name, kinds) for at, (column, name) in enumerate(self.columns)],
            array_like=not self.objects,
            forbid_unknown_fields=True,
            kw_only=self.objects,
            gc=False,
        )
        self._read = msgspec.json.Decoder(row).decode_lines

    def rows(self, lines: bytes) -> Piece:
        """The rows of these lines.

        Raises:
            ValueError: At least one of them is not of the ordinary form.
            OverflowError: At least one date is out of range.
        """
        found = self._read(lines)
        _check_ids(found)
        columns = (
            _amounts(self._amount_texts(found)),
            self._texts("currency", found, _is_currency),
            self._dates([one.txn_date for one in found]),
            self._texts("status", found, _is_status),
        )
        transactions = self._transactions(found, *columns)
        return Piece(transactions, self._labels(found), self._scenarios(found))

    def _transactions(self, found: Sequence[Any], *columns: Iterable[Any]) -> list[Transaction]:
        if self._fields.isdisjoint(_IDENTIFIERS):
            return [
                Transaction(one.id, one.user_id, amount, currency, date, status, None)
                for one, amount, currency, date, status in zip(found, *columns, strict=False)
            ]
        more = zip(*(self._identifiers(name, found) for name in _IDENTIFIERS), strict=False)
        return [
            Transaction(one.id, one.user_id, amount, currency, date, status, None, 0, *optional)
            for one, amount, currency, date, status, optional in zip(found, *columns, more, strict=False)
        ]

    def _identifiers(self, name: str, found: Sequence[Any]) -> Iterable[str | None]:
        if name not in self._fields:
            return repeat(None)
        known = self._known[name]
        return [known[getattr(one, name)] for one in found]

    def _field(self, at: int, column: str, name: str | None, kinds: Mapping[str, Any]) -> tuple[Any, ...]:
        kind = kinds.get(name or "", Any if self.objects and not name else _Cell)
        if not self.objects:
            return name or f"_{at}", kind
        default = {"default": None} if name is None or name in _OPTIONAL else {}
        return name or f"_{at}", kind, msgspec.field(name=column, **default)

    def _amount_texts(self, found: Sequence[Any]) -> list[str]:
        if self.objects:
            return [bytes(one.amount).decode().strip('"') for one in found]
        return [one.amount for one in found]

    def _texts(self, name: str, found: Sequence[Any], is_ordinary: Callable[[str], bool]) -> Iterable[str]:
        if name not in self._fields:
            return repeat(self.defaults[name])
        texts = [getattr(one, name) for one in found]
        if not all(map(is_ordinary, set(texts))):
            raise ValueError
        return texts

    def _dates(self, dates: list[datetime]) -> list[datetime]:
        if self.assume_utc:
            dates = [date if date.tzinfo else date.replace(tzinfo=UTC) for date in dates]
        if {date.tzinfo for date in dates} != {UTC} or max(dates) > self.latest:
            raise ValueError
        return dates

    def _labels(self, found: Sequence[Any]) -> list[Label]:
        if LABEL not in self._fields:
            return []
        words = self.words
        return [words[one.label if one.label.__class__ is str else str(one.label)] for one in found]

    def _scenarios(self, found: Sequence[Any]) -> list[str]:
        if SCENARIO not in self._fields:
            return []
        return ["" if one.label_scenario is None else str(one.label_scenario) for one in found]


def _check_ids(found: Sequence[Any]) -> None:
    texts = "".join([one.id + one.user_id for one in found])
    if texts.translate(_HEX_TO_0) != _UUID * (2 * len(found)):
        raise ValueError


def _amounts(texts: list[str]) -> list[int]:
    together = "\n".join(texts)
    if _TWO_DECIMALS.fullmatch(together):
        return [*map(int, together.replace(".", "").split("\n"))]
    if not all(map(_ONE_WAY.fullmatch, texts)):
        raise ValueError
    return [*map(parse_amount, texts)]


def _is_currency(text: str) -> bool:
    return _CURRENCY.fullmatch(text) is not None and cell_of(text) == text


def _is_status(text: str) -> bool:
    return 0 < len(text) <= MAX_STATUS and cell_of(text) == text and "\0" not in text
