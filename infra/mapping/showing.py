"""What a mapping does with a sample, as a table that a person can check."""

from collections.abc import Collection, Iterator, Sequence

from rich.console import Console
from rich.table import Table

from infra.mapping.sample import seen_in
from infra.mapping.trying import FieldLine, Trial, lines, unused
from infra.produce.columns import printable
from infra.produce.records import Record
from schemas.mapping import MappingSpec

_WIDE = 36
_IDS = frozenset(["id", "user_id"])  # the rest of one that is made tells nothing, and 80 columns are few


def show(
    console: Console,
    spec: MappingSpec,
    records: Sequence[Record],
    outcome: Trial,
    undecided: Collection[tuple[str, str]] = (),
) -> None:
    """Print a line for each field, what is kept and left out, and what became of the records.

    Of keys that are `undecided` nothing is shown but a question mark.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("field", "from", "how", "before → after"):
        table.add_column(heading, overflow="fold")
    for line in lines(spec, outcome, undecided):
        table.add_row(line.field, line.source, line.how, "\n".join(_examples(line)))
    console.print(table)
    for text in _rest(spec, records, outcome):
        console.print(printable(text), soft_wrap=True)


def _examples(line: FieldLine) -> Iterator[str]:
    for before, after in line.examples:
        made = f"{after[:8]}…" if line.field in _IDS and before != after else _short(after)
        yield f"{_short(before)} → {made}" if line.source not in {"", "*"} else made


def _short(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _WIDE else f"{shown[: _WIDE - 1]}…"


def _rest(spec: MappingSpec, records: Sequence[Record], outcome: Trial) -> Iterator[str]:
    keep = spec.meta_data.keep
    if keep:
        yield f"kept in meta_data: {'all the rest' if keep == 'rest' else ', '.join(keep)}"
    left_out = unused(spec, [one.path for one in seen_in(records[:100])])
    if left_out:
        yield f"not used: {', '.join(left_out)}"
    if outcome.left_out:
        yield f"{outcome.left_out:,} of {len(records):,} are left out by a condition or their sign"
    for reason, count in outcome.refused.most_common():
        yield f"{count:,} of {len(records):,} are refused: {reason}: {outcome.why[reason]}"
    users = len({made["user_id"] for _, made in outcome.mapped})
    yield f"{len(outcome.mapped):,} of {len(records):,} records become transactions of {users:,} users"
