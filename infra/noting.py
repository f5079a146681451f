"""The audit trail of all but decisions, which have their own: what is changed, and who did it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import click
from pydantic import SecretStr

from infra.database import rights, session
from infra.runtime.audit_trail import note
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.this_user import this_user

T = TypeVar("T")

NOTES = rights(("access_log",), ("INSERT",))
"""What it takes to write to the audit trail."""


class NotedSettings(Protocol):
    """What is needed of a program's settings."""

    @property
    def postgres(self) -> SecretStr:
        """Where the trail is."""

    @property
    def app_id(self) -> str:
        """Whose topics, windows and rows are changed."""


async def audited(
    settings: NotedSettings,
    what: str,
    act: Callable[[], Awaitable[T]],
    told: Callable[[T], str] = lambda _: "",
    *,
    kept: bool = True,
) -> T:
    """Do it, noted before it begins and once it has ended: of what was killed, the beginning is known.

    Nothing is noted unless `kept`, where there is no Postgres. What cannot be noted is not begun.
    """
    if not kept:
        return await act()
    await note_here(settings, f"{what} begun", settings.app_id)
    try:
        done = await act()
    except BaseException as error:
        await note_if_possible(settings, f"{what} ended by {type(error).__name__}", settings.app_id)
        raise
    outcome = told(done)
    await note_if_possible(settings, f"{what} done", settings.app_id + (outcome and f": {outcome}"))
    return done


async def note_if_possible(settings: NotedSettings, what: str, whom: str) -> None:
    """Note what is done already; where Postgres does not take it, that is said."""
    try:
        with ending_in_one_line(POSTGRES):
            await note_here(settings, what, whom)
    except click.ClickException as error:
        click.echo(f"{what}, which the audit trail does not have: {error.message}", err=True)


async def note_here(settings: NotedSettings, what: str, whom: str) -> None:
    """Note what this machine's user does by a command."""
    async with session(settings.postgres.get_secret_value(), NOTES) as connection:
        await note(connection, this_user(), what, whom)
