"""What a measurement hands back: rows for a table, the figures it is about, and notes; kept as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

Cell = str | float | None
TIMES = "×"  # noqa: RUF001 - the multiplication sign is meant
NOTHING = "-"
VERDICTS = {"aim": "aim reached", "least": "reached", "missed": "missed", "unknown": "not measured", "": ""}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `form` is the format specification of its numbers."""

    key: str
    heading: str
    form: str = ",.0f"

    def show(self, row: Mapping[str, Cell]) -> str:
        """A row's cell in this column, as people read it."""
        cell = row.get(self.key)
        if cell is None:
            return NOTHING
        return cell if isinstance(cell, str) else format(cell, self.form)


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that is to reach `least` and hopefully `aim`; None where it could not be measured.

    `better` says which way is good: "more" as for ratios of rates, "less" as for milliseconds.
    """

    what: str
    value: float | None
    least: float | None = None
    aim: float | None = None
    unit: str = TIMES
    better: Literal["more", "less"] = "more"

    @property
    def verdict(self) -> str:
        """`aim`, `least` or `missed`; `unknown` for what was not measured, nothing where nothing is asked."""
        if self.value is None:
            return "unknown"
        if self._reaches(self.aim):
            return "aim"
        if self.least is None:
            return ""
        return "least" if self._reaches(self.least) else "missed"

    def show(self) -> str:
        """The value with its unit."""
        return self.of(self.value)

    def of(self, value: float | None) -> str:
        """A value of this kind with its unit."""
        return NOTHING if value is None else quantity(value, self.unit)

    def _reaches(self, goal: float | None) -> bool:
        if goal is None or self.value is None:
            return False
        return self.value >= goal if self.better == "more" else self.value <= goal


@dataclass(frozen=True, slots=True)
class Result:
    """A measurement's outcome. `setting` says on what it was made."""

    name: str
    title: str
    setting: str
    columns: list[Column]
    rows: list[dict[str, Cell]]
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether none of the figures that it is about could be measured."""
        return bool(self.figures) and all(figure.value is None for figure in self.figures)


@dataclass(frozen=True, slots=True)
class Record:
    """A result as it is kept: with when, on what and by which command it was made."""

    began: str
    command: str
    machine: dict[str, str]
    versions: dict[str, str]
    result: Result

    def write(self, folder: Path) -> None:
        """Into `NAME.json` of the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        data = msgspec.json.format(msgspec.json.encode(self))
        (folder / f"{self.result.name}.json").write_bytes(data + b"\n")


def read_record(path: Path) -> Record:
    """A record that `Record.write` wrote; msgspec.ValidationError for another file."""
    return msgspec.json.decode(path.read_bytes(), type=Record)


def quantity(value: float, unit: str) -> str:
    """A number with its unit, in three significant digits.

    >>> quantity(0.512, "ms"), quantity(43.21, "ms"), quantity(98765.4, "/s")
    ('0.51 ms', '43.2 ms', '98,765/s')
    """
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0  # noqa: PLR2004 - what decimals are for
    space = "" if unit.startswith("/") else " "
    return f"{value:,.{digits}f}{space}{unit}"


def ratio(value: float | None, base: float | None) -> float | None:
    """One over the other, None where either is missing."""
    return value / base if value is not None and base else None


def show(result: Result, console: Console) -> None:
    """Print a result as a table, its figures and notes below."""
    table = Table(box=box.SIMPLE, title=f"{result.name}: {result.title}", pad_edge=False)
    for number, column in enumerate(result.columns):
        table.add_column(column.heading, justify="right" if number else "left")
    for row in result.rows:
        table.add_row(*(column.show(row) for column in result.columns))
    console.print(table)
    console.print(f"[dim]{result.setting}[/dim]")
    for figure in result.figures:
        console.print(f"{figure.what}: [bold]{figure.show()}[/bold]{_goals(figure)}")
    for note in result.notes:
        console.print(note, style="dim", markup=False, highlight=False)


def _goals(figure: Figure) -> str:
    bound = "at least" if figure.better == "more" else "at most"
    goals = [(bound, figure.least), ("aim", figure.aim)]
    asked = ", ".join(f"{name} {figure.of(goal)}" for name, goal in goals if goal is not None)
    return f" ({asked}: {VERDICTS[figure.verdict]})" if asked else ""
