"""`txnwatch audit`: who changed what: what was decided, who may do what, who logged in."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg
import click
import msgspec

from infra.database import rights, session
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings

_NEEDED = rights(("access_log", "decisions"), ("SELECT",))
# Of a decision what it is about; the whole of it is in its own history.
_CHANGES = """
SELECT at, who, what, whom FROM (
    SELECT at, who, what, whom FROM access_log
    UNION ALL
    SELECT at, who, 'decision ' || seq || ' on ' || kind,
        concat_ws(': ', coalesce(body ->> 'name', body ->> 'id', body ->> 'user_id'), nullif(why, ''))
    FROM decisions
) AS changes
WHERE ($1::text IS NULL OR who = $1) AND ($2::timestamptz IS NULL OR at >= $2) ORDER BY at DESC LIMIT $3
"""


class AuditLine(NamedTuple):
    """What somebody has changed."""

    at: datetime
    who: str
    what: str
    whom: str

    def line(self) -> str:
        """As people read it; what callers chose cannot be more than one line, nor steer a terminal."""
        text = f"{self.who}  {self.what}{self.whom and f'  {self.whom}'}"
        shown = "".join(one if one.isprintable() else "?" for one in text)
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC  {shown}"


@click.command("audit")
@click.option("--who", help="Only what they changed.")
@click.option("--since", type=click.DateTime(), help="Only from then on, in UTC.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each.")
def audit_command(who: str | None, since: datetime | None, limit: int, *, as_json: bool) -> None:
    """List who decided, who gave and took rights, and who logged in or failed to, newest first."""
    url = Settings.load().postgres.get_secret_value()
    since = since and since.replace(tzinfo=UTC)

    async def asked() -> Sequence[AuditLine]:
        async with session(url, _NEEDED) as connection:
            return await changes(connection, who=who, since=since, most=limit)

    with ending_in_one_line(StopError, POSTGRES):
        found = asyncio.run(asked())
    for one in found:
        click.echo(msgspec.json.encode(one._asdict()).decode() if as_json else one.line())
    if not found and not as_json:
        click.echo("nothing was changed")


async def changes(
    connection: asyncpg.Connection, *, who: str | None = None, since: datetime | None = None, most: int = 100
) -> Sequence[AuditLine]:
    """What was changed, newest first."""
    return [AuditLine(*row) for row in await connection.fetch(_CHANGES, who, since, most)]
