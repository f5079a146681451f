"""The command `txnwatch`, put together from the commands that the packages bring."""

import logging
from importlib.metadata import EntryPoint, entry_points

import click

_GROUP = "txnwatch.commands"


class InstalledCommands(click.Group):
    """The commands of the entry-point group, each loaded only when it is asked for.

    A command that cannot be loaded says so when it is called, and is left out of the help.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Every command's name, in order."""
        return sorted(point.name for point in entry_points(group=_GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of this name."""
        return next((_load(point) for point in entry_points(group=_GROUP, name=cmd_name)), None)


def _load(point: EntryPoint) -> click.Command:
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - whatever ails one command must not break the others
        return _absent(point.name, error)
    if not isinstance(command, click.Command):
        return _absent(point.name, TypeError(f"{point.value} is no command"))
    return command


def _absent(name: str, reason: Exception) -> click.Command:
    @click.command(name=name, hidden=True, context_settings={"ignore_unknown_options": True})
    @click.argument("_rest", nargs=-1, type=click.UNPROCESSED)
    def absent(_rest: tuple[str, ...]) -> None:
        message = f"{name} is not available in this installation: {type(reason).__name__}: {reason}"
        raise click.ClickException(message) from reason

    return absent


@click.group(cls=InstalledCommands)
@click.version_option(package_name="txnwatch")
def main() -> None:
    """Scores every transaction of a Kafka topic against the same user's recent past."""
    from infra.runtime.aiokafka_changes import install  # noqa: PLC0415 - `--help` would load all of aiokafka

    install()  # whatever a command reads may have been written by foreign producers
    # A command that logs nothing says what was wrong once, by its last line.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
