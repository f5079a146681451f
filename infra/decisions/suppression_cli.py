"""`txnwatch rules suppress` and `suppressions`: flags that are watched instead for a time."""

import asyncio
from datetime import UTC, datetime

import click

from infra.decisions.commands import LATER, asked
from infra.decisions.suppressions import Suppressed, holding, suppress, suppression_of
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.services import KAFKA, POSTGRES
from infra.runtime.settings import Settings
from infra.runtime.this_user import this_user

_PUBLISH_SECONDS = 10


@click.command("suppress")
@click.option("--user", default="", help="The user; without one, every user.")
@click.option("--rule", default="", help="The rule's name; without one, every rule and detector.")
@click.option("--until", type=click.DateTime(), help="By the dates of transactions, in UTC.")
@click.option("--end", is_flag=True, help="End what was decided of this user and rule.")
@click.option("--who", help="Who decides; by default the user of this machine.")
@click.option("--why", default="", help="What for, for the history.")
def suppress_command(
    user: str, rule: str, until: datetime | None, who: str | None, why: str, *, end: bool
) -> None:
    """Have flags of a user, of a rule, or of both be watched instead, until a date."""
    if end is (until is not None):
        raise click.UsageError("Say until when, with --until, or --end.")
    settings, date = Settings.load(), until and until.replace(tzinfo=UTC)
    with ending_in_one_line(StopError, KAFKA, POSTGRES):
        one = suppression_of({"user_id": user, "rule": rule, "until": date})
        url, by = settings.postgres.get_secret_value(), (who or this_user(), why)
        decided = asyncio.run(suppress(settings, url, one, by, within=_PUBLISH_SECONDS))
    click.echo(f"decision {decided.decision.seq} by {decided.decision.who}")
    if decided.unpublished:
        click.echo(f"{LATER}: {decided.unpublished}", err=True)


@click.command("suppressions")
def suppressions_command() -> None:
    """List what is suppressed and was not ended, newest first."""
    settings = Settings.load()
    with ending_in_one_line(StopError, POSTGRES):
        found = asyncio.run(asked(settings, holding))
    click.echo("\n".join(map(_line, found)) or "nothing is suppressed")


def _line(one: Suppressed) -> str:
    its, why = one.suppression, " ".join(one.why.split())
    of = [f"user {its.user_id}" if its.user_id else "", f'rule "{its.rule}"' if its.rule else ""]
    until = f"until {its.until:%Y-%m-%d %H:%M:%S} UTC" if its.until else ""
    return f"decision {one.seq}: {', '.join(filter(None, of))} {until}, {one.who}{why and f': {why}'}"
