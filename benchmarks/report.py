"""`docs/benchmarks.md` out of the records, so that no number in it is typed by hand."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.result import VERDICTS, Cell, Column, Record, Result, read_record

INTRODUCTION = """\
# Benchmarks

Made by `.venv/bin/python -m benchmarks report` from the JSON files beside the plots; do not edit.

Compare the ratios: every contender of a table ran in the same run, on the same broker, topic and cores, in
turn. The rates themselves are those of this machine, which broker, database and load share with the
contender. `make bench` measures everything again.
"""


def report(records_folder: Path, docs: Path, order: Sequence[str]) -> list[Path]:
    """Write the page, its plots and copies of the records it is made of; the files written.

    Raises FileNotFoundError where there are no records, ImportError without matplotlib.
    """
    from benchmarks.plots import plot  # noqa: PLC0415 - of the extra "bench": needed for nothing else

    records = _read(records_folder, order)
    if not records:
        raise FileNotFoundError(f"no records in {records_folder}: run the measurements first")
    folder = docs / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    written, plots = [], {}
    for record in records:
        name = record.result.name
        written.append(folder / f"{name}.json")
        if records_folder.resolve() != folder.resolve():
            shutil.copyfile(records_folder / f"{name}.json", written[-1])
        svg = folder / f"{name}.svg"
        if plot(record.result, svg):
            plots[name] = f"benchmarks/{svg.name}"
            written.append(svg)
    page = docs / "benchmarks.md"
    page.write_text(render(records, plots))
    return [page, *written]


def render(records: Sequence[Record], plots: Mapping[str, str]) -> str:
    """The page; `plots` has the picture of each measurement that has one."""
    sections = [INTRODUCTION, _goals(record.result for record in records)]
    sections += [_section(record, plots.get(record.result.name)) for record in records]
    return "\n".join([*sections, _provenance(records)])


def _read(folder: Path, order: Sequence[str]) -> list[Record]:
    records = [read_record(path) for path in sorted(folder.glob("*.json"))]
    places = {name: place for place, name in enumerate(order)}
    return sorted(records, key=lambda record: places.get(record.result.name, len(places)))


def _goals(results: Iterable[Result]) -> str:
    rows = [
        [
            result.name,
            figure.what,
            figure.show(),
            figure.of(figure.least),
            figure.of(figure.aim),
            VERDICTS[figure.verdict],
        ]
        for result in results
        for figure in result.figures
        if figure.least is not None
    ]
    return "## What is to be reached\n\n" + _markdown(
        ["measurement", "figure", "measured", "asked", "aim", ""], rows
    )


def _section(record: Record, picture: str | None) -> str:
    result = record.result
    parts = [f"## {result.name}: {result.title}", f"`{record.command}`", f"{result.setting}."]
    if picture is not None:
        parts.append(f"![{result.title}]({picture})")
    parts.append(_table(result.columns, result.rows))
    if others := [figure for figure in result.figures if figure.least is None]:
        parts.append("\n".join(f"- {figure.what}: {figure.show()}" for figure in others))
    parts += map(_quoted, result.notes)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _quoted(note: str) -> str:
    """A note as a paragraph; the log in one that has several lines as it is."""
    first, _, log = note.partition("\n")
    return f"{first}\n\n```text\n{log}\n```" if log else first


def _table(columns: Sequence[Column], rows: Sequence[Mapping[str, Cell]]) -> str:
    return _markdown(
        [column.heading for column in columns], [[column.show(row) for column in columns] for row in rows]
    )


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def _provenance(records: Sequence[Record]) -> str:
    """On what each measurement was made, once where that is the same for all."""
    groups: dict[tuple[tuple[str, str], ...], list[Record]] = {}
    for record in records:
        groups.setdefault((*record.machine.items(), *record.versions.items()), []).append(record)
    parts = ["## Machine and versions\n"]
    for facts, made in groups.items():
        names = ", ".join(
            f"{record.result.name} ({record.began[:16].replace('T', ' ')} UTC)" for record in made
        )
        parts.append(f"{names}:\n\n" + _markdown(["what", "which"], facts))
    return "\n".join(parts)
