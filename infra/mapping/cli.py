"""`txnwatch mapping`."""

from pathlib import Path

import click
from rich.console import Console

from infra.mapping.proposal import ProposedMapping, proposed
from infra.mapping.sample import sample_of
from infra.mapping.showing import show
from infra.mapping.trying import tried
from infra.produce.errors import InputError
from infra.runtime.cli_errors import ServiceErrors, ending_in_one_line
from infra.runtime.mapping_files import MappingType
from schemas.mapping import MappingError, MappingSpec
from schemas.mapping.ready import READY, ready_mapping, ready_text

_FILE = click.Path(path_type=Path)
_ENCODING = click.option("--encoding", help="Of FILE, where it is neither UTF-8 nor UTF-16: latin-1, cp1252.")


@click.group()
def mapping() -> None:
    """How records of any form become transactions: docs/data.md has the form of a mapping."""


@mapping.command("list")
@click.argument("name", required=False, type=click.Choice(READY))
def list_command(name: str | None) -> None:
    """List the mappings that are ready-made, or print the file of the one that is NAMEd."""
    if name is not None:
        click.echo(ready_text(name), nl=False)
        return
    for one in READY:
        click.echo(f"{one:{max(map(len, READY))}}  {ready_mapping(one).source.about}")


@mapping.command("check")
@click.argument("spec", metavar="MAPPING", type=MappingType())
@click.argument("file", required=False, type=_FILE)
@_ENCODING
@click.pass_context
def check_command(context: click.Context, spec: MappingSpec, file: Path | None, encoding: str | None) -> None:
    """See whether a mapping can be used, and what it makes of the first records of FILE.

    MAPPING is a file, or the name of a ready-made one. Each fault is named with its line and column. The
    command ends with 1 where a record does not map.
    """
    if file is None:
        click.echo("it can be used")
        return
    with ending_in_one_line(ServiceErrors(str(file), (InputError,))):
        records = sample_of(file, encoding)
    outcome = tried(spec, records)
    show(_console(), spec, records, outcome)
    context.exit(1 if outcome.refused else 0)


@mapping.command("guess")
@click.argument("file", type=_FILE)
@click.option("--output", type=_FILE, help="Write the mapping to this file.")
@click.option("--currency", help="Of records that do not say theirs, as EUR.")
@click.option("--zone", help="Of dates that do not say theirs, as UTC or Europe/Rome.")
@_ENCODING
@click.pass_context
def guess_command(context: click.Context, /, file: Path, output: Path | None, **told: str | None) -> None:
    """Propose a mapping for FILE, by the names and values of its first records.

    Look at the table: what becomes what, with examples, and what is not used. Where the records do not tell,
    nothing is guessed: a ? in the mapping has to be decided before it can be used, and the command ends with
    1.
    """
    with ending_in_one_line(ServiceErrors(str(file), (InputError,)), MappingError):
        records = sample_of(file, told["encoding"])
        proposal = proposed(records, currency=told["currency"] or "", zone=told["zone"] or "")
    _write(proposal.text, output)
    _show(_console(), proposal, file, output, len(records))
    show(_console(), proposal.spec, records, tried(proposal.spec, records), proposal.open)
    _conclude(proposal, output)
    context.exit(1 if proposal.decide else 0)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        return
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{output} is there already: name another, or remove it") from None
    except OSError as error:
        raise click.ClickException(f"{output}: {error.strerror}") from None


def _show(console: Console, proposal: ProposedMapping, file: Path, output: Path | None, count: int) -> None:
    what = f"the layout of {proposal.ready}" if proposal.ready else "found by names and values"
    console.print(f"{file}, its first {count:,} records: {what}{f', in {output}' if output else ''}\n")


def _conclude(proposal: ProposedMapping, output: Path | None) -> None:
    for note in proposal.notes:
        click.echo(f"to check: {note}")
    for open_question in proposal.decide:
        click.echo(f"to decide: {open_question}")
    if output is None and not proposal.ready:
        click.echo(f"\n{proposal.text}", nl=False)


def _console() -> Console:
    return Console(soft_wrap=False, highlight=False, markup=False)
