"""`txnwatch export`: rows of a range straight from Postgres into a file."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import asyncpg
import click

from infra.database import check_database, rights
from infra.export.parquet import COLUMNS, NoParquetError, ParquetExport
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.moments import Moment
from infra.runtime.postgres import SESSION
from infra.runtime.replacing import check_replaceable
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings

_NEEDED = rights(["transactions"], ["SELECT"])
_ROWS = f"SELECT {', '.join(COLUMNS)} FROM transactions WHERE true{{}} ORDER BY txn_date, id, user_id"  # noqa: S608 - ours
_SESSION = {**SESSION, "application_name": "txnwatch-export", "timezone": "UTC"}


@click.command("export")
@click.option("--from", "start", type=Moment(), help="Only transactions from this time on.")
@click.option("--to", "end", type=Moment(), help="Only transactions before this time.")
@click.option(
    "--to-parquet",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write; one that is there is replaced once the new one is whole.",
)
def export(start: datetime | None, end: datetime | None, file: Path) -> None:
    """Write rows as Parquet, oldest first: all that there are at one moment."""
    if start and end and start >= end:
        raise click.UsageError("--from is not before --to.")
    url = Settings.load().postgres.get_secret_value()
    with ending_in_one_line(NoParquetError, POSTGRES, OSError), _whole(file) as draft:
        rows = asyncio.run(_export(url, start, end, draft))
    click.echo(f"{file}: {rows:,} rows")


async def _export(url: str, start: datetime | None, end: datetime | None, file: BinaryIO) -> int:
    """How many rows were written."""
    bounds = [(one, sign) for one, sign in ((start, ">="), (end, "<")) if one]
    where = "".join(f" AND txn_date {sign} ${place}" for place, (_, sign) in enumerate(bounds, 1))
    given = [one for one, _ in bounds]
    connection = await asyncpg.connect(url, server_settings=_SESSION)
    try:
        await check_database(connection, _NEEDED)
        with ParquetExport(file) as rows:

            async def add(text: bytes) -> None:
                rows.add(text)

            done = await connection.copy_from_query(_ROWS.format(where), *given, output=add, format="csv")
    finally:
        await connection.close()
    return int(done.rpartition(" ")[2])


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of this one when the block ends well, and else is gone."""
    check_replaceable(file)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with draft.open("wb") as opened:
            yield opened
        draft.replace(file)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()
