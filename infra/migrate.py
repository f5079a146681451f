"""`txnwatch migrate`: bring the database's schema up to date."""

import asyncio
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

import asyncpg
import click

from infra.runtime.audit_trail import note
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.postgres import SESSION, check_session
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user

FOLDER = Path(__file__).parent / "postgres"
_NAME = re.compile(r"\d{3}_\w+\.sql")
# A number that no other program locks in this database: "txnwatch" in bytes.
_LOCK = int.from_bytes(b"txnwatch")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text        PRIMARY KEY,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"


class MigrationError(Exception):
    """The files do not fit the database, or one failed; the message names it."""


class Migration(NamedTuple):
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Of the text, in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


async def migrate(postgres_url: str, folder: Path = FOLDER, *, by: str = "") -> list[str]:
    """Apply the files that are not applied yet, in the order of their names; the names applied.

    Each file is one transaction. Safe to run twice, also side by side: the second waits.
    Where it is done `by` somebody, the audit trail has it.

    Raises:
        MigrationError: An applied file was edited since or is not known, a name is not NNN_name.sql, or
            a file failed.
        DatabaseError: The database's text is not UTF-8, or a pooler is between.
    """
    migrations = read(folder)
    connection = await asyncpg.connect(postgres_url, server_settings=SESSION)
    try:
        await check_session(connection)
        # Held until the connection ends, however it ends.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        await connection.execute(_TABLE)
        pending = await _pending(connection, migrations)
        for migration in pending:
            await _apply(connection, migration)
        names = [migration.name for migration in pending]
        if names and by:
            await note(connection, by, "schema migrated", ", ".join(names))
        return names
    finally:
        await connection.close()


def read(folder: Path) -> list[Migration]:
    """The migrations of a folder in order.

    Raises:
        MigrationError: A name has no number, or two have the same.
    """
    files = sorted(folder.glob("*.sql"))
    if wrong := ", ".join(path.name for path in files if not _NAME.fullmatch(path.name)):
        raise MigrationError(f"not named NNN_name.sql: {wrong}")
    if len({path.name[:3] for path in files}) < len(files):
        raise MigrationError(f"two files have the same number: {', '.join(path.name for path in files)}")
    return [Migration(path.name, path.read_text()) for path in files]


async def _pending(connection: asyncpg.Connection, migrations: list[Migration]) -> list[Migration]:
    applied = dict(await connection.fetch("SELECT name, sha256 FROM schema_migrations"))
    if unknown := ", ".join(sorted(set(applied) - {one.name for one in migrations})):
        raise MigrationError(f"the database is newer than this program, with {unknown}: upgrade the program")
    if edited := ", ".join(one.name for one in migrations if applied.get(one.name, one.sha256) != one.sha256):
        raise MigrationError(
            f"edited after it was applied: {edited}. Restore it and write a new migration instead"
        )
    return [one for one in migrations if one.name not in applied]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(_APPLIED, migration.name, migration.sha256)
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name}: {error}") from error


@click.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date."""
    settings = Settings.load()
    with ending_in_one_line(MigrationError, POSTGRES):
        applied = asyncio.run(migrate(settings.postgres.get_secret_value(), by=this_user()))
    for name in applied:
        click.echo(f"{name}: applied")
    if not applied:
        click.echo("nothing to apply")
