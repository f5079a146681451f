"""The command line of `txnwatch backtest`."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from infra.produce.options import Reading
from stream_app.commands.backtest.rows import EARLIEST, LATEST

MOST_ALERTS = 100_000
HISTORY: Final = "history"
"""In place of a decisions file: what was decided when rows were scored."""
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SPAN = re.compile(r"(\d{1,6})([mhdw])")


class Span(click.ParamType):
    """A number and a unit: 90m, 12h, 7d, 2w."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """As a time span."""
        if isinstance(value, timedelta):
            return value
        if (found := _SPAN.fullmatch(value)) is None:
            self.fail(f"{value!r} is not a number with m, h, d or w, as 7d", param, ctx)
        return timedelta(**{_UNITS[found[2]]: int(found[1])})


AS_GIVEN: Final = timedelta(-1)
"""In place of how late labels are: each is known when it was given, where that is kept."""


class Lateness(Span):
    """The same, or the word for when labels were given."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """As a time span."""
        return AS_GIVEN if value == "given" else super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True)
class BacktestOptions:
    """What was asked for."""

    file: Path | None
    from_db: bool
    start: datetime | None
    end: datetime | None
    warm_up: timedelta
    detector: str | None
    decisions: Path | None
    labels: Path | None
    labels_late: timedelta
    fit: Path | None
    scores: Path | None
    against: str | None
    report: Path | None
    alerts_per_day: int | None
    as_json: bool
    reading: Reading

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            click.UsageError: Something does not.
        """
        if (self.file is None) != self.from_db:
            raise click.UsageError("Give either FILE or --from-db.")
        if self.from_db and (self.reading.sort or self.reading.as_is or self.reading.mapping):
            raise click.UsageError("--sort, --as-is and --map are for files.")
        if self.by_history and (not self.from_db or self.detector):
            raise click.UsageError("--decisions history is for --from-db, without --detector.")
        if self.against == HISTORY and not self.from_db:
            raise click.UsageError("--against history is for --from-db.")
        if self.labels_late == AS_GIVEN and (self.labels or not self.from_db):
            raise click.UsageError("--labels-late given is for --from-db, without --labels.")
        if self.fit and self.decisions:
            raise click.UsageError("--fit makes profiles and --decisions brings them: one of the two.")
        self.reading.check()
        if self.start and self.end and self.start >= self.end:
            raise click.UsageError("--from is not before --to.")

    @property
    def by_history(self) -> bool:
        """Whether what was decided then is to decide."""
        return self.decisions == Path(HISTORY)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From when on and until when history is taken."""
        return self.start or EARLIEST, self.end or LATEST
