"""Whose the rows in Postgres are: what is another app's is left alone."""

import asyncpg

from infra.runtime.cli_errors import StopError

# Of two apps that come at once, the second has to see the first.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('sink_offsets'))"
# Of before apps had names here.
_ADOPT = "UPDATE sink_offsets SET app_id = $1 WHERE app_id = '' AND topic = $2"
_OTHERS = """
SELECT string_agg(DISTINCT coalesce(nullif(app_id, ''), 'the app of ' || topic), ', ') FROM sink_offsets
HAVING NOT bool_or(app_id = $1)
"""
_CLAIM = """
INSERT INTO sink_offsets (app_id, topic, partition, epoch, next_offset) VALUES ($1, $2, 0, 0, 0)
ON CONFLICT DO NOTHING
"""
_OTHERS_ARE_THERE = (
    "the rows in this database are those of TXNWATCH_APP_ID {others}, not of {app_id}: use another database, "
    "or set TXNWATCH_SHARE_ROWS=true; of a transaction that both score, the row that comes first then stays"
)


class SharedRowsError(StopError):
    """Another app stores its rows in this database, and this one is not meant to."""


async def claim_rows(connection: asyncpg.Connection, app_id: str, topic: str, *, shared: bool) -> None:
    """Make the app one of those whose rows are in this database; nothing where it is one already.

    Raises:
        SharedRowsError: There are others, and the rows are not `shared`.
    """
    async with connection.transaction():
        await connection.execute(_ONE_AT_A_TIME)
        await connection.execute(_ADOPT, app_id, topic)
        others = await connection.fetchval(_OTHERS, app_id)
        if others and not shared:
            raise SharedRowsError(_OTHERS_ARE_THERE.format(others=others, app_id=app_id))
        await connection.execute(_CLAIM, app_id, topic)
