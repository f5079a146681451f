"""`txnwatch partitions`: the months of the transactions table."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeAlias

import asyncpg
import click

from infra.noting import note_if_possible
from infra.partitions import drain as draining
from infra.partitions import months
from infra.runtime.background import cancel_on
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user

_Act: TypeAlias = "Callable[[Settings, asyncpg.Connection], Coroutine[Any, Any, None]]"


@click.group()
def partitions() -> None:
    """Make the table's months ahead, fill them from the default partition, drop old ones."""


@partitions.command()
@click.option("--ahead", type=click.IntRange(0, 120), help="How many months (TXNWATCH_MONTHS_AHEAD, 3).")
def ensure(ahead: int | None) -> None:
    """Make this month and those after it. The API does so once an hour."""

    async def make(settings: Settings, connection: asyncpg.Connection) -> None:
        _say(await months.ensure(connection, settings.months_ahead), "made", "nothing to make")

    _run(make, months_ahead=ahead)


@partitions.command()
@click.option(
    "--pages", type=click.IntRange(1), default=1024, show_default=True, help="Of 8 kB, at a time, at most."
)
def drain(pages: int) -> None:
    """Move the default partition's rows to months of their own, also while rows are inserted.

    Needs the disk space of these rows once more while it runs. Cut short, it leaves all as it was.
    """

    async def move(settings: Settings, connection: asyncpg.Connection) -> None:
        moved = Counter[str]()
        async with aclosing(draining.drain(connection, pages)) as steps:
            async for copied in steps:
                moved += Counter(copied.rows)
                if sys.stderr.isatty():
                    click.echo(f"\r{copied.pages / copied.of:.0%} copied ", nl=False, err=True)
        said = [f"{month}: {rows:,} rows" for month, rows in sorted(moved.items())]
        _say(said, "moved", "nothing to move")
        if moved:
            await note_if_possible(settings, "rows moved to months of their own", ", ".join(said))

    _run(move)


@partitions.command()
@click.option(
    "--keep", type=click.IntRange(1), help="How many whole months (TXNWATCH_RETENTION_MONTHS, off)."
)
def drop(keep: int | None) -> None:
    """Drop old months with their rows. Nothing is dropped unless told how many to keep."""

    async def forget(settings: Settings, connection: asyncpg.Connection) -> None:
        if not settings.retention_months:
            raise click.ClickException(
                "TXNWATCH_RETENTION_MONTHS is 0, which is off: set it, or give --keep."
            )
        _say(
            await months.drop(connection, settings.retention_months, this_user()),
            "dropped",
            "nothing to drop",
        )

    _run(forget, retention_months=keep)


def _say(names: list[str], what: str, nothing: str) -> None:
    for name in names:
        click.echo(f"{name}: {what}")
    if not names:
        click.echo(nothing)


def _run(act: _Act, **given: int | None) -> None:
    settings = Settings.load(**given)
    with ending_in_one_line(draining.BusyError, POSTGRES):
        try:
            asyncio.run(_connected(settings, act))
        except asyncio.CancelledError:
            raise click.Abort from None
        except asyncpg.LockNotAvailableError as error:
            raise click.ClickException("Others hold the table, or drain it: try again.") from error
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            raise click.ClickException(f"No month is made, as {error}. {error.hint}") from error
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError) as error:
            raise click.ClickException("The tables are not up to date: run `txnwatch migrate`.") from error


async def _connected(settings: Settings, act: _Act) -> None:
    cancel_on(signal.SIGTERM, signal.SIGHUP)
    async with months.connected(settings.postgres.get_secret_value()) as connection:
        await act(settings, connection)
