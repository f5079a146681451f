"""The `[txn_date]` of a proposal."""

from collections.abc import Sequence
from typing import Any, Final

from infra.mapping.choosing import Chosen
from infra.mapping.date_forms import DateForm, counts_up, form_of, is_clock, zones_of
from infra.mapping.open_questions import OpenQuestions
from infra.mapping.sample import SeenValues, beside

_TABLE: Final = "txn_date"
_PARTS: Final = ("year", "month", "day")
_ZONE_NAMES: Final = ("timezone", "timezoneid", "tz", "zeitzone", "fusoorario")
_SECONDS: Final = 10_000  # steps that go so far are no hours


class DateTable:
    """Makes it of the values that there are; what they do not tell is left open."""

    def __init__(
        self, columns: Sequence[SeenValues], zone: str, open_: OpenQuestions, notes: list[str]
    ) -> None:
        """`zone` is that of clocks whose records do not say theirs, if it is known."""
        self._columns, self._zone = columns, zone
        self._open, self._notes = open_, notes
        self._clock = next((one for one in columns if is_clock(one) and len(one.values) == one.count), None)

    def made(self, chosen: Chosen) -> dict[str, Any]:
        """The table, of the column that was chosen or of several."""
        seen, form = chosen.fields.get(_TABLE), chosen.date
        if seen is None or form is None:
            return self._of_parts() or self._counted()
        if not form.has_time:
            if self._clock is not None and (joined := self._joined([seen, self._clock])):
                return joined
            self._notes.append("txn_date: there is no time of day: it is midnight")
        return self._of_form(seen.path, form, min(seen.distinct))

    def _of_form(self, source: str | list[str], form: DateForm, example: str) -> dict[str, Any]:
        table: dict[str, Any] = {"from": source, **form.keys}
        if form.others:
            formats = [str(form.keys["format"]), *form.others]
            why = f"{example} fits {' and '.join(formats)}"
            table["format"] = self._open.leave(_TABLE, "format", why, {"format": formats[0]})
        return table if form.has_zone else {**table, **self._zoned(str(source))}

    def _of_parts(self) -> dict[str, Any]:
        """Of a column each for year, month and day."""
        named = {one.path.casefold(): one for one in self._columns}
        if not all(part in named for part in _PARTS):
            return {}
        return self._joined([*(named[part] for part in _PARTS), *([self._clock] if self._clock else [])])

    def _joined(self, parts: Sequence[SeenValues]) -> dict[str, Any]:
        """Of several columns; empty where these make no date."""
        texts = [" ".join(values) for values in zip(*(part.texts for part in parts), strict=False)]
        dashes = max(0, len(parts) - 2)  # between year, month and day
        form = form_of(SeenValues("", [text.replace(" ", "-", dashes) for text in texts], len(texts)))
        if form is None:
            return {}
        format_ = str(form.keys.get("format", "%Y-%m-%d %H:%M:%S"))
        form.keys["format"] = format_.replace("-", " ") if dashes else format_
        return self._of_form([part.path for part in parts], form, min(texts))

    def _counted(self) -> dict[str, Any]:
        """Of numbers that go up from an unknown day on; or what is known of a topic's records."""
        if (arrived := beside("kafka.timestamp", _TABLE, self._columns, self._notes)) is not None:
            return {"from": arrived.path, "epoch": "ms"}
        seen = next(filter(counts_up, self._columns), None)
        if seen is None:
            why = "which value is the date"
            return {"from": self._open.leave(_TABLE, "from", why, {"from": "date"})}
        why = f'it counts from {seen.texts[0]} on: since when, as "2017-11-30", and whether the unit is right'
        return {
            "from": seen.path,
            "unit": "second" if float(seen.texts[-1]) >= _SECONDS else "hour",
            "since": self._open.leave(_TABLE, "since", why, {"since": "2000-01-01"}),
            "zone": self._zone or "UTC",
        }

    def _zoned(self, name: str) -> dict[str, Any]:
        said = next((one for one in self._columns if "".join(one.words).endswith(_ZONE_NAMES)), None)
        if said is not None and not self._zone and (zones := zones_of(said)) is not None:
            return {"zone_from": said.path} | ({"zones": zones} if zones else {})
        if self._zone or name.casefold().endswith(("utc", "utc)", "gmt")):
            return {"zone": self._zone or "UTC"}
        why = 'where the clock was, as "UTC" or "Europe/Rome"; --zone says it'
        return {"zone": self._open.leave(_TABLE, "zone", why, {"zone": "UTC"})}
