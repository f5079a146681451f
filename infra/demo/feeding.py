"""How the demo sends a person's own file: by its columns' names, or by a mapping that it finds and shows."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from rich.console import Console

from infra.mapping.proposal import ProposedMapping, proposed
from infra.mapping.sample import MOST, sample_of
from infra.mapping.showing import show
from infra.mapping.trying import tried
from infra.produce.errors import InputError
from infra.produce.files import open_input
from infra.produce.mapped import MappedReader
from infra.produce.options import Reading
from infra.produce.order import check_order
from infra.produce.rows import NO_FAULT, Item, RejectedRow
from schemas.transaction import Decoder

_GOOD = 0.9
# A demo shows something at once: what a file does not say is taken so. XXX is ISO 4217's code for none.
_ZONE, _CURRENCY = "UTC", "XXX"


def arguments_for(file: Path, folder: Path, console: Console) -> list[str]:
    """What `produce` is told to send the file; how it is read is said, and a mapping is kept in the folder.

    Raises:
        InputError: It cannot be read, or a person has to say how.
    """
    with suppress(InputError):
        if _are_good(items := _first(file, Reading())):
            console.print(f"{file}: columns known by their names", soft_wrap=True)
            return [str(file), *_order(items, console)]
    records = sample_of(file).records
    found = proposed(records, currency=_CURRENCY, zone=_ZONE)
    what = f"the layout of {found.ready}" if found.ready else "a mapping is made for it"
    console.print(f"{file}: {what}\n", soft_wrap=True)
    show(console, found.spec, records, tried(found.spec, records))
    if found.decide:
        raise InputError(
            f"{'; '.join(found.decide)}. `txnwatch mapping guess {file} --output M.toml` makes a mapping to "
            "complete, and `txnwatch demo --data FILE --mapping M.toml` takes it"
        )
    mapping = found.ready or _kept(found, folder, console)
    order = _order(_first(file, Reading(definition=found.spec)), console)
    return [str(file), "--mapping", mapping, *order]


def _first(file: Path, reading: Reading) -> list[Item]:
    """What becomes of the first records."""
    with open_input(file, reading.form()) as opened:
        if reading.definition is not None:
            rows = MappedReader(reading.definition, Decoder()).read(opened, opened.lines())
        else:
            rows = reading.reader().read(opened.lines())
        return [*islice(rows, MOST)]


def _are_good(items: Sequence[Item]) -> bool:
    bad = sum(isinstance(item, RejectedRow) and item.reason not in NO_FAULT for item in items)
    return bad <= (1 - _GOOD) * len(items)


def _order(items: Sequence[Item], console: Console) -> list[str]:
    try:
        check_order(items, all_of_them=len(items) < MOST)
    except InputError:
        console.print("its rows are sorted by their dates first")
        return ["--sort"]
    return []


def _kept(found: ProposedMapping, folder: Path, console: Console) -> str:
    path = folder / "mapping.toml"
    path.write_text(found.text, "utf-8")
    for note in found.notes:
        console.print(f"to check: {note}", soft_wrap=True)
    what = f"zone {_ZONE} and currency {_CURRENCY} where the file says none"
    console.print(f"the mapping is {path}; {what}", soft_wrap=True)
    return str(path)
