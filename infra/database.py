"""Whether a database is one that this program can work with, and a session with one that is."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from infra.migrate import FOLDER, read
from infra.runtime.postgres import SESSION, DatabaseError, check_session

_SESSION = {**SESSION, "application_name": "txnwatch-decisions", "statement_timeout": "20s"}
_CONNECT_SECONDS = 10
_STATE = """
SELECT ARRAY(SELECT name FROM schema_migrations ORDER BY name) AS applied,
    ARRAY(
        SELECT upper(privilege) || ' on ' || relation
        FROM unnest($1::text[], $2::text[]) AS needed (relation, privilege)
        WHERE NOT has_table_privilege(relation, privilege)
    ) AS lacking
"""


class Right(NamedTuple):
    """A privilege on a table."""

    table: str
    privilege: str


def rights(tables: Collection[str], privileges: Collection[str]) -> list[Right]:
    """Each of these privileges on each of these tables.

    >>> rights(["users"], ["select", "insert"])[1]
    Right(table='users', privilege='insert')
    """
    return [Right(table, privilege) for table in tables for privilege in privileges]


@asynccontextmanager
async def session(postgres_url: str, needed: Collection[Right]) -> AsyncIterator[asyncpg.Connection]:
    """A connection to change a few rows by.

    Raises:
        DatabaseError: The database is not one to write to.
    """
    connection = await asyncpg.connect(postgres_url, server_settings=_SESSION, timeout=_CONNECT_SECONDS)
    try:
        await check_database(connection, needed)
        yield connection
    finally:
        await connection.close()


async def check_database(connection: asyncpg.Connection | asyncpg.Pool, needed: Collection[Right]) -> None:
    """Return when the session is whole, the schema is this program's, and the rights are there.

    Raises:
        DatabaseError: One of these is not so.
        asyncpg.PostgresError: Postgres could not be asked, or another of its errors.
    """
    tables, privileges = [one.table for one in needed], [one.privilege for one in needed]
    await check_session(connection)
    try:
        state = await connection.fetchrow(_STATE, tables, privileges)
    except asyncpg.UndefinedTableError as error:
        raise DatabaseError("has no tables of ours: run `txnwatch migrate`") from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise DatabaseError(f"{error}: GRANT this user the right to read it") from error
    check_schema(state["applied"])
    if state["lacking"]:
        raise DatabaseError(f"its user lacks {', '.join(state['lacking'])}: GRANT them")


def check_schema(applied: Collection[str]) -> None:
    """Compare the names of the applied migrations with this program's.

    Raises:
        DatabaseError: The database is older or newer.
    """
    known = {one.name for one in read(FOLDER)}
    if unknown := ", ".join(sorted(set(applied) - known)):
        raise DatabaseError(f"it is newer than this program, with {unknown}: upgrade the program")
    if lacking := ", ".join(sorted(known - set(applied))):
        raise DatabaseError(f"it is older than this program, without {lacking}: run `txnwatch migrate`")
