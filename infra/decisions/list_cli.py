"""`txnwatch lists`: the lists that rules look into."""

import asyncio
from pathlib import Path

import click

from infra.decisions.commands import LATER, asked, line_of
from infra.decisions.lists import change_list, list_history, proposals, read_list
from infra.produce.files import InputError, open_input
from infra.runtime.cli_errors import ServiceErrors, StopError, ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user
from schemas.lists import MOST_ENTRIES, Change

_PUBLISH_SECONDS = 600
_WHO = click.option("--who", help="Who decides; by default the user of this machine.")
_WHY = click.option("--why", default="", help="What for, for the history.")
_ENTRIES = click.argument("entries", nargs=-1, required=True)


@click.group()
def lists() -> None:
    """Lists that rules look into with in_list: docs/rules.md has more."""


@lists.command("put")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_WHO
@_WHY
def put_command(name: str, file: Path, who: str | None, why: str) -> None:
    """Have a list hold what FILE has, one entry a line, and nothing else.

    All workers go over to it between two batches: there is no half list.
    """
    with ending_in_one_line(ServiceErrors(str(file), (InputError,)), StopError):
        entries = _lines(file)
    _change(name, "put", entries, (who, why))


@lists.command("add")
@click.argument("name")
@_ENTRIES
@_WHO
@_WHY
def add_command(name: str, entries: tuple[str, ...], who: str | None, why: str) -> None:
    """Add entries to a list, which is made where there is none."""
    _change(name, "add", [*entries], (who, why))


@lists.command("remove")
@click.argument("name")
@_ENTRIES
@_WHO
@_WHY
def remove_command(name: str, entries: tuple[str, ...], who: str | None, why: str) -> None:
    """Take entries out of a list; what it has not is passed over."""
    _change(name, "remove", [*entries], (who, why))


@lists.command("show")
@click.argument("name")
def show_command(name: str) -> None:
    """Print a list as it was decided, one entry a line."""
    settings = Settings.load()
    with ending_in_one_line(StopError, POSTGRES):
        entries = asyncio.run(asked(settings, lambda one: read_list(one, name)))
    for entry in entries:
        click.echo(entry)


@lists.command("history")
@click.argument("name")
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
def history_command(name: str, limit: int) -> None:
    """List the decisions on a list, newest first: number, time, who and why."""
    settings = Settings.load()
    with ending_in_one_line(StopError, POSTGRES):
        decisions = asyncio.run(asked(settings, lambda one: list_history(one, name, most=limit)))
    for one in decisions:
        rest = f", {more} more to come" if (more := one.body["more"]) else ""
        click.echo(f"{line_of(one)}: {one.body['change']} {one.body['count']:,}{rest}")
    if not decisions:
        click.echo(f"nothing was decided of a list {name}")


def _change(name: str, change: Change, entries: list[str], by: tuple[str | None, str]) -> None:
    settings, (who, why) = Settings.load(), by
    with ending_in_one_line(StopError, POSTGRES):
        parts = proposals(name, change, entries, (who or this_user(), why))
        url = settings.postgres.get_secret_value()
        decided = asyncio.run(change_list(settings, url, parts, within=_PUBLISH_SECONDS))
    click.echo(f"decision {decided.seq}: {change} {len(set(entries)):,}")
    if decided.unpublished:
        click.echo(f"{LATER}: {decided.unpublished}", err=True)


def _lines(file: Path) -> list[str]:
    """The lines that are not empty, without spaces around them.

    Raises:
        InputError: One is no UTF-8, or there are too many.
    """
    entries = []
    with open_input(file) as opened:
        for number, line in enumerate(opened.lines(), 1):
            try:
                entry = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise InputError(f"line {number}: not UTF-8") from None
            entries += [entry] if entry else []
            if len(entries) > MOST_ENTRIES:
                raise InputError(f"more than {MOST_ENTRIES:,} entries")
    return entries
