"""A mapping that is proposed for a sample: one that is ready-made, or one of what names and values tell."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import tomli_w

from infra.mapping.choosing import NUMERIC, Chosen, chosen, is_card_number, is_uuid
from infra.mapping.date_forms import counts_up, form_of, formats_of, is_clock, zones_of
from infra.mapping.sample import SeenValues, seen_in
from infra.mapping.trying import fitting
from infra.produce.records import Record
from schemas.mapping import MappingSpec, load_mapping
from schemas.mapping.paths import path_of
from schemas.mapping.ready import READY, ready_mapping, ready_text
from schemas.mapping.values import text_of

OPEN: Final = "?"
"""What stands in a proposal where a person has to decide: no mapping with it can be used."""
_GOOD = 0.9
_LONGEST = 32
_PARTS = ("year", "month", "day")
_ZONE_NAMES = ("timezone", "timezoneid", "tz", "zeitzone", "fusoorario")
_SECONDS = 10_000  # steps that go so far are no hours


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
        self._open: dict[tuple[str, str], tuple[object, str]] = {}
        self._notes = [f"{name}: {rival} might be it, too" for name, rival in self._found.rivals.items()]

    def proposal(self) -> ProposedMapping:
        """All of it."""
        tables = {
            "id": self._id(),
            "user_id": self._user(),
            "amount": self._amount(),
            "txn_date": self._date(),
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
            load_mapping(tomli_w.dumps(self._filled(tables))),
            open=frozenset(self._open),
            decide=[f"{table}: {why}" for (table, _), (_, why) in self._open.items()],
            notes=self._notes,
        )

    def _seen(self, name: str) -> SeenValues | None:
        return self._found.fields.get(name)

    def _beside(self, path: str, name: str) -> SeenValues | None:
        """What stands beside the fields of a topic's records, if it is there in all of them."""
        seen = next((one for one in self._columns if one.path == path and len(one.values) == one.count), None)
        if seen is not None:
            self._notes.append(f"{name}: {path} of the topic's records: their own fields have none")
        return seen

    def _leave_open(self, table: str, key: str, stand_in: object, why: str) -> str:
        self._open[table, key] = stand_in, why
        return OPEN

    def _written(self, tables: dict[str, dict[str, Any]]) -> str:
        lines = tomli_w.dumps(tables).splitlines()
        table = ""
        for place, line in enumerate(lines):
            table = line.strip("[]") if line.startswith("[") else table
            key, _, value = line.partition(" = ")
            if value == f'"{OPEN}"' and (table, key) in self._open:
                lines[place] = f"{line} # {self._open[table, key][1]}"
        return "\n".join([*lines, ""])

    def _filled(self, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        filled = {name: dict(table) for name, table in tables.items()}
        for (table, key), (stand_in, _) in self._open.items():
            filled[table].update(stand_in if isinstance(stand_in, dict) else {key: stand_in})
        return filled

    def _id(self) -> dict[str, Any]:
        seen = self._seen("id")
        if seen is None:
            self._notes.append(
                "id: none is found; one is made of the whole record, so that equal ones are one"
            )
            return {"from": "*", "read": "hash"}
        return {"from": seen.path, "read": "uuid" if is_uuid(seen) else "uuid5"}

    def _user(self) -> dict[str, Any]:
        seen = self._seen("user_id") or self._beside("kafka.key", "user_id")
        if seen is None:
            why = 'whose it is; value = "everybody" with read = "uuid5" makes one user of all'
            return {"from": self._leave_open("user_id", "from", "*", why), "read": "uuid5"} | self._nobody()
        table: dict[str, Any] = {"from": seen.path, "read": "uuid" if is_uuid(seen) else "uuid5"}
        if is_card_number(seen) or any("@" in text for text in seen.distinct):
            self._notes.append(f"user_id: {seen.path} says who it is, and so is not kept beside the id")
            table["keep"] = False
        return table

    def _nobody(self) -> dict[str, Any]:
        self._open["user_id", "from"] = ({"from": "*", "read": "hash"}, self._open["user_id", "from"][1])
        return {}

    def _amount(self) -> dict[str, Any]:
        seen, marks = self._seen("amount"), self._found.amount
        if seen is None or marks is None:
            return {"from": self._leave_open("amount", "from", "amount", "which value is the amount")}
        self._notes += [f"amount: {note}" for note in marks.notes]
        table = {"from": seen.path, **marks.keys}
        if marks.unclear:
            why = f"{marks.unclear} can be read in two ways: which mark stands before the decimals"
            table["decimal"] = self._leave_open("amount", "decimal", ".", why)
        return table

    def _date(self) -> dict[str, Any]:
        seen, form = self._seen("txn_date"), self._found.date
        if seen is None or form is None:
            return self._parts() or self._steps()
        table: dict[str, Any] = {"from": seen.path, **form.keys}
        if not form.has_time:
            clock = next(filter(is_clock, self._columns), None)
            if clock is not None and (joined := self._joined([seen, clock])):
                return joined
            self._notes.append("txn_date: there is no time of day: it is midnight")
        if form.others:
            why = f"{min(seen.distinct)} fits {' and '.join([str(form.keys['format']), *form.others])}"
            stand_in = form.keys["format"]
            table["format"] = self._leave_open("txn_date", "format", stand_in, why)
        return table if form.has_zone else {**table, **self._zoned(seen.path)}

    def _parts(self) -> dict[str, Any]:
        """Dates whose year, month and day have a column each."""
        named = {one.path.casefold(): one for one in self._columns}
        if not all(part in named for part in _PARTS):
            return {}
        clock = [one for one in self._columns if is_clock(one)][:1]
        return self._joined([*(named[part] for part in _PARTS), *clock])

    def _joined(self, parts: Sequence[SeenValues]) -> dict[str, Any]:
        texts = [" ".join(values) for values in zip(*(part.texts for part in parts), strict=False)]
        form = form_of(SeenValues("", [text.replace(" ", "-", len(parts) - 2) for text in texts], len(texts)))
        if form is None:
            return {}
        format_ = str(form.keys.get("format", "%Y-%m-%d %H:%M:%S"))
        if len(parts) > 2:  # noqa: PLR2004 - the date itself has several
            format_ = format_.replace("-", " ")
        table: dict[str, Any] = {"from": [part.path for part in parts], "format": format_}
        return table if form.has_zone else {**table, **self._zoned()}

    def _steps(self) -> dict[str, Any]:
        """Dates that are counted from an unknown day on, or none at all."""
        if (arrived := self._beside("kafka.timestamp", "txn_date")) is not None:
            return {"from": arrived.path, "epoch": "ms"}
        seen = next(filter(counts_up, self._columns), None)
        if seen is None:
            return {"from": self._leave_open("txn_date", "from", "date", "which value is the date")}
        why = f'it counts from {seen.texts[0]} on: since when, as "2017-11-30", and whether the unit is right'
        unit = "second" if float(seen.texts[-1]) >= _SECONDS else "hour"
        return {
            "from": seen.path,
            "unit": unit,
            "since": self._leave_open("txn_date", "since", "2000-01-01", why),
            "zone": self._zone or "UTC",
        }

    def _zoned(self, name: str = "") -> dict[str, Any]:
        said = next((one for one in self._columns if "".join(one.words).endswith(_ZONE_NAMES)), None)
        if said is not None and not self._zone and (zones := zones_of(said)) is not None:
            return {"zone_from": said.path} | ({"zones": zones} if zones else {})
        if self._zone or name.casefold().endswith(("utc", "utc)", "gmt")):
            return {"zone": self._zone or "UTC"}
        why = 'where the clock was, as "UTC" or "Europe/Rome"; --zone says it'
        return {"zone": self._leave_open("txn_date", "zone", "UTC", why)}

    def _currency_table(self) -> dict[str, Any]:
        if (seen := self._seen("currency")) is not None:
            values = {word: NUMERIC[word] for word in sorted(seen.distinct & NUMERIC.keys())}
            default = {"default": self._currency} if self._currency else {}
            return {"from": seen.path} | ({"values": values} if values else {}) | default
        if sign := self._found.amount and self._found.amount.currency:
            self._notes.append(f"currency: {sign} by a sign beside the amounts, or by their name")
            return {"value": self._currency or sign}
        why = 'of all records, as "EUR"; --currency says it'
        return {"value": self._currency or self._leave_open("currency", "value", "XXX", why)}

    def _status(self) -> dict[str, Any]:
        if (seen := self._seen("status")) is not None:
            return {"from": seen.path, "default": "settled"} | _cut(seen)
        return {"value": "settled"}

    def _text(self, name: str) -> dict[str, Any]:
        seen = self._seen(name)
        return {"from": seen.path} | _cut(seen) if seen is not None else {}


def _cut(seen: SeenValues) -> dict[str, Any]:
    return {"cut": True} if max(map(len, seen.distinct)) > _LONGEST else {}
