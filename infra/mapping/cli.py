"""`txnwatch mapping`."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import click
from rich.console import Console

from infra.ingest.settings import Settings
from infra.mapping.proposal import ProposedMapping, proposed
from infra.mapping.sample import FirstRecords, sample_of
from infra.mapping.showing import show
from infra.mapping.topics import sample_of_topic
from infra.mapping.trying import tried
from infra.produce.errors import InputError
from infra.produce.files import STDIN
from infra.produce.options import Reading, encoding_named
from infra.runtime.cli_errors import ServiceErrors, StopError, ending_in_one_line
from infra.runtime.mapping_files import MappingType
from infra.runtime.services import KAFKA
from schemas.mapping import MappingError, MappingSpec
from schemas.mapping.ready import READY, ready_mapping, ready_text

_ENCODING = click.option(
    "--encoding",
    callback=encoding_named,
    help="Of FILE, where it is neither UTF-8 nor UTF-16: latin-1, cp1252.",
)
_PART = click.option(
    "--part", help="Of a zip this file, of a workbook this sheet, of a JSON object this array."
)

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SUFFIXES = re.compile(r"\.(csv|tsv|txt|json|jsonl|ndjson|parquet|xlsx|gz|bz2|xz|zst|zip)")


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
@click.argument("source", metavar="[FILE|TOPIC]", required=False)
@_ENCODING
@_PART
@click.pass_context
def check_command(
    context: click.Context, spec: MappingSpec, source: str | None, encoding: str | None, part: str | None
) -> None:
    """See whether a mapping can be used, and what it makes of records of FILE or TOPIC.

    MAPPING is a file, or the name of a ready-made one. Each fault is named with its line and column. The
    command ends with 1 where a record does not map.
    """
    if source is None:
        click.echo("it can be used")
        return
    with _ending_in_one_line(source):
        records, unread = _records(source, Reading(encoding=encoding, part=part, definition=spec))
    outcome = tried(spec, records)
    show(_console(), spec, records, outcome)
    click.echo(unread, nl=bool(unread))
    context.exit(1 if outcome.refused or unread else 0)


@mapping.command("guess")
@click.argument("source", metavar="FILE|TOPIC")
@click.option("--output", type=click.Path(path_type=Path), help="Write the mapping to this file.")
@click.option("--currency", help="Of records that do not say theirs, as EUR.")
@click.option("--zone", help="Of dates that do not say theirs, as UTC or Europe/Rome.")
@_ENCODING
@_PART
@click.pass_context
def guess_command(context: click.Context, /, source: str, output: Path | None, **told: str | None) -> None:
    """Propose a mapping for FILE or TOPIC, by the names and values of records.

    Of a file these are the first, of a topic the newest. Look at the table: what becomes what, with examples,
    and what is not used. Where the records do not tell, nothing is guessed: a ? in the mapping has to be
    decided before it can be used, and the command ends with 1, as where no record becomes a transaction.
    """
    with _ending_in_one_line(source):
        records, unread = _records(source, Reading(encoding=told["encoding"], part=told["part"]))
        proposal = proposed(records, currency=told["currency"] or "", zone=told["zone"] or "")
    _write(proposal.text, output)
    what = f"the layout of {proposal.ready}" if proposal.ready else "found by names and values"
    click.echo(f"{source}, {len(records):,} records: {what}{f', in {output}' if output else ''}\n")
    outcome = tried(proposal.spec, records)
    show(_console(), proposal.spec, records, outcome, proposal.open)
    _conclude(proposal, [*proposal.notes, *filter(None, [unread])], output)
    context.exit(1 if proposal.decide or not (outcome.mapped or outcome.left_out) else 0)


def _records(source: str, reading: Reading) -> FirstRecords:
    """The first records of a file, or the newest of a topic: what is no file, nor ends as files do."""
    path = Path(source)
    if path == STDIN or path.exists() or _SUFFIXES.fullmatch(path.suffix) or not _TOPIC.fullmatch(source):
        return sample_of(path, reading.form())
    return FirstRecords(asyncio.run(sample_of_topic(Settings.load(), source)))


def _ending_in_one_line(source: str) -> AbstractContextManager[None]:
    return ending_in_one_line(ServiceErrors(source, (InputError,)), KAFKA, StopError, MappingError)


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


def _conclude(proposal: ProposedMapping, notes: Sequence[str], output: Path | None) -> None:
    for note in notes:
        click.echo(f"to check: {note}")
    for open_question in proposal.decide:
        click.echo(f"to decide: {open_question}")
    if output is None and not proposal.ready:
        click.echo(f"\n{proposal.text}", nl=False)


def _console() -> Console:
    return Console(soft_wrap=False, highlight=False, markup=False)
