"""A mapping that is proposed for a sample: one that is ready-made, or one of what names and values tell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from infra.mapping.choosing import NUMERIC, Chosen, chosen, is_card_number, is_uuid
from infra.mapping.date_forms import formats_of
from infra.mapping.date_table import DateTable
from infra.mapping.open_questions import OPEN, OpenQuestions
from infra.mapping.sample import SeenValues, beside, seen_in
from infra.mapping.trying import fitting
from infra.produce.records import Record
from schemas.mapping import MappingSpec, load_mapping
from schemas.mapping.paths import path_of
from schemas.mapping.ready import READY, ready_mapping, ready_text
from schemas.mapping.values import text_of

_GOOD = 0.9
_LONGEST = 32


@dataclass
class ProposedMapping:
    """A mapping as a file, what a person has to decide in it, and what should be looked at."""

    text: str
    spec: MappingSpec
    """As `text`, with something in place of what is not decided."""
    ready: str = ""
    """The ready-made one that it is."""
    open: frozenset[tuple[str, str]] = frozenset()
    """The tables and keys that are not decided."""
    decide: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def proposed(
    records: Sequence[Record], *, currency: str = "", zone: str = "", ready: bool = True
) -> ProposedMapping:
    """A mapping for such records; `currency` and `zone` are those of records that do not say theirs."""
    if ready and (found := _ready(records)):
        return _known(found, records)
    return _Made(seen_in(records), currency, zone).proposal()


def _ready(records: Sequence[Record]) -> str | None:
    """The ready-made one whose layout this is, and that most of the records fit."""
    names = {name for record in records[:100] for name in record}
    for name in READY:
        spec = ready_mapping(name)
        if set(spec.source.columns) <= names and fitting(spec, records) >= _GOOD * len(records):
            return name
    return None


def _known(name: str, records: Sequence[Record]) -> ProposedMapping:
    """The ready-made one, with its format of dates left open where these could be of another, too."""
    text, spec = ready_text(name), ready_mapping(name)
    texts = [
        " ".join(text_of(record.get(path)) for path in _listed(spec.txn_date.source)) for record in records
    ]
    formats = (
        formats_of([one for one in texts if one.strip()]) if isinstance(spec.txn_date.format, str) else []
    )
    if len(formats) < 2:  # noqa: PLR2004 - it and another
        return ProposedMapping(text, spec, ready=name)
    why = f"{min(texts)} fits {' and '.join(formats)}"
    told = f'format = "{spec.txn_date.format}"'
    return ProposedMapping(
        text.replace(told, f'format = "{OPEN}" # {why}'),
        spec,
        ready=name,
        open=frozenset([("txn_date", "format")]),
        decide=[f"txn_date: {why}"],
    )


def _listed(source: str | list[str]) -> list[str]:
    return [source] if isinstance(source, str) else source


class _Made:
    """A proposal in the making: tables as TOML has them, and for what is open what stands in for it."""

    def __init__(self, columns: Sequence[SeenValues], currency: str, zone: str) -> None:
        self._columns = columns
        self._currency, self._zone = currency, zone
        self._found: Chosen = chosen(columns)
        self._open = OpenQuestions()
        self._notes = [f"{name}: {rival} might be it, too" for name, rival in self._found.rivals.items()]

    def proposal(self) -> ProposedMapping:
        """All of it."""
        tables = {
            "id": self._id(),
            "user_id": self._user(),
            "amount": self._amount(),
            "txn_date": DateTable(self._columns, self._zone, self._open, self._notes).made(self._found),
            "currency": self._currency_table(),
            "status": self._status(),
            **{
                name: table
                for name in ("merchant_id", "card_id", "country", "channel")
                if (table := self._text(name))
            },
        }
        if self._found.labels:
            tables["meta_data"] = {"keep": [path_of(label) for label in self._found.labels]}
        return ProposedMapping(
            self._written(tables),
            load_mapping(tomli_w.dumps(self._open.filled(tables))),
            open=frozenset(self._open),
            decide=[f"{table}: {question.why}" for (table, _), question in self._open.items()],
            notes=self._notes,
        )

    def _seen(self, name: str) -> SeenValues | None:
        return self._found.fields.get(name)

    def _written(self, tables: dict[str, dict[str, Any]]) -> str:
        lines = tomli_w.dumps(tables).splitlines()
        table = ""
        for place, line in enumerate(lines):
            table = line.strip("[]") if line.startswith("[") else table
            key, _, value = line.partition(" = ")
            if value == f'"{OPEN}"' and (table, key) in self._open:
                lines[place] = f"{line} # {self._open[table, key].why}"
        return "\n".join([*lines, ""])

    def _id(self) -> dict[str, Any]:
        seen = self._seen("id")
        if seen is None:
            self._notes.append(
                "id: none is found; one is made of the whole record, so that equal ones are one"
            )
            return {"from": "*", "read": "hash"}
        return {"from": seen.path, "read": "uuid" if is_uuid(seen) else "uuid5"}

    def _user(self) -> dict[str, Any]:
        seen = self._seen("user_id") or beside("kafka.key", "user_id", self._columns, self._notes)
        if seen is None:
            why = 'whose it is; value = "everybody" with read = "uuid5" makes one user of all'
            source = self._open.leave("user_id", "from", why, {"from": "*", "read": "hash"})
            return {"from": source, "read": "uuid5"}
        table: dict[str, Any] = {"from": seen.path, "read": "uuid" if is_uuid(seen) else "uuid5"}
        if is_card_number(seen) or any("@" in text for text in seen.distinct):
            self._notes.append(f"user_id: {seen.path} says who it is, and so is not kept beside the id")
            table["keep"] = False
        return table

    def _amount(self) -> dict[str, Any]:
        seen, marks = self._seen("amount"), self._found.amount
        if seen is None or marks is None:
            return {
                "from": self._open.leave("amount", "from", "which value is the amount", {"from": "amount"})
            }
        self._notes += [f"amount: {note}" for note in marks.notes]
        table = {"from": seen.path, **marks.keys}
        if marks.unclear:
            why = f"{marks.unclear} can be read in two ways: which mark stands before the decimals"
            table["decimal"] = self._open.leave("amount", "decimal", why, {"decimal": "."})
        return table

    def _currency_table(self) -> dict[str, Any]:
        if (seen := self._seen("currency")) is not None:
            values = {word: NUMERIC[word] for word in sorted(seen.distinct & NUMERIC.keys())}
            default = {"default": self._currency} if self._currency else {}
            return {"from": seen.path} | ({"values": values} if values else {}) | default
        if sign := self._found.amount and self._found.amount.currency:
            self._notes.append(f"currency: {sign} by a sign beside the amounts, or by their name")
            return {"value": self._currency or sign}
        why = 'of all records, as "EUR"; --currency says it'
        return {"value": self._currency or self._open.leave("currency", "value", why, {"value": "XXX"})}

    def _status(self) -> dict[str, Any]:
        if (seen := self._seen("status")) is not None:
            return {"from": seen.path, "default": "settled"} | _cut(seen)
        return {"value": "settled"}

    def _text(self, name: str) -> dict[str, Any]:
        seen = self._seen(name)
        return {"from": seen.path} | _cut(seen) if seen is not None else {}


def _cut(seen: SeenValues) -> dict[str, Any]:
    return {"cut": True} if max(map(len, seen.distinct)) > _LONGEST else {}
