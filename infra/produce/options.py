"""The options by which commands are told how to read a file of transactions."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import reduce, wraps
from typing import Any

import click

from infra.produce.columns import FIELDS, Columns
from infra.produce.files import FileForm
from infra.produce.mapped import MappedReader
from infra.produce.rows import RowReader
from schemas.checks import OPTIONAL
from schemas.mapping import MappingSpec
from schemas.mapping.marks import MARKS, AmountMarks
from schemas.transaction import Decoder

_WITH_MAPPING = ("definition", "encoding", "part", "sort", "as_is")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a file is read."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    """The column of a field, by its name; empty where an optional field is to have none."""
    currency: str | None = None
    status: str | None = None
    assume_utc: bool = False
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    part: str | None = None
    definition: MappingSpec | None = None
    """A mapping, in place of columns by their names and of the options up to `thousands`."""
    sort: bool = False
    as_is: bool = False

    def check(self) -> None:
        """Refuse what does not go together.

        Raises:
            click.UsageError: Something does not.
        """
        if self.sort and self.as_is:
            raise click.UsageError("--sort and --as-is exclude each other.")
        if self.decimal and self.decimal == self.thousands:
            raise click.UsageError("--decimal and --thousands name the same mark.")

        if self.definition and self != Reading(**{name: getattr(self, name) for name in _WITH_MAPPING}):
            raise click.UsageError("--mapping says how each field is read: no other option can.")

    @property
    def told_encoding(self) -> str | None:
        """What the user or the mapping says."""
        return self.encoding or (self.definition and self.definition.source.encoding) or None

    def form(self) -> FileForm:
        """How the file is opened."""
        if self.definition is None:
            return FileForm(self.encoding, self.part, self.reader().fits)
        fits = MappedReader(self.definition, Decoder()).fits
        return FileForm(self.told_encoding, self.part, fits, self.definition.source.delimiter)

    def reader(self, **more: Any) -> RowReader:
        """What reads the rows; `more` is what else a RowReader is told."""
        defaults = {"currency": self.currency, "status": self.status}
        return RowReader(
            columns=Columns({name: column for name, column in self.mapping.items() if name in FIELDS}),
            defaults={name: value for name, value in defaults.items() if value is not None},
            assume_utc=self.assume_utc,
            marks=AmountMarks(self.decimal, self.thousands),
            **more,
        )


def reading_options(
    verb: str, map_help: str, others: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a command that reads a file, to `verb` its rows: it gets a `Reading` as `reading`.

    `--map` takes the fields of a transaction and these `others`, and has the words `map_help`.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def told(*args: Any, **given: Any) -> Any:
            reading = Reading(
                **{one.name: given.pop(one.name) for one in fields(Reading) if one.name in given}
            )
            return command(*args, reading=reading, **given)

        return reduce(lambda made, option: option(made), [*_others(verb), _map(map_help, others)], told)

    return decorated


def _map(words: str, others: Collection[str]) -> Callable[[Any], Any]:
    def mapping_of(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
        chosen, known = {}, (*FIELDS, *others)
        for text in given:
            name, equals, column = text.partition("=")
            if name not in known or not (column or (name in OPTIONAL and equals)):
                raise click.BadParameter(f"{text!r} is not field=column with a field of {', '.join(known)}")
            chosen[name] = column
        return chosen

    return click.option(
        *("--map", "mapping"),
        multiple=True,
        callback=mapping_of,
        metavar="FIELD=COLUMN",
        help=f"Which column is which field, e.g. amount=Total; {words}",
    )


def encoding_named(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """The same name.

    Raises:
        click.BadParameter: It is none of an encoding.
    """
    try:
        if name is not None:
            "".encode(name)  # refuses those that are not of text, too
    except LookupError as error:
        raise click.BadParameter(str(error)) from None
    return name


def _others(verb: str) -> list[Callable[[Any], Any]]:
    """Those after `--map`, the last one first."""
    return [
        click.option("--as-is", is_flag=True, help=f"{verb} in the order of FILE, whatever that is."),
        click.option("--sort", is_flag=True, help=f"{verb} by date: all is read first, in bounded memory."),
        click.option(
            "--part",
            metavar="NAME",
            help="Of a zip this file, of a workbook this sheet, of a JSON object this array.",
        ),
        click.option(
            *("--encoding", "encoding"),
            callback=encoding_named,
            metavar="NAME",
            help="Of text that is not UTF-8, e.g. latin-1 or cp1252. [default: by its byte order mark]",
        ),
        click.option(
            "--thousands", type=click.Choice(MARKS), help="The mark between thousands: . , ' or a space."
        ),
        click.option(
            "--decimal", type=click.Choice([".", ","]), help="The mark before the decimals of amounts."
        ),
        click.option("--assume-utc", is_flag=True, help="Take dates without an offset as UTC."),
        click.option("--status", help="For rows that have none."),
        click.option("--currency", help="For rows that have none."),
    ]
