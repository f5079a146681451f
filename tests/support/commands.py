"""Every command of txnwatch, as it is typed."""

from collections.abc import Iterator

import click

_ARGUMENTS = {
    "backtest": "--from-db",
    "dlq redrive": "0:1",
    "dlq show": "0:1",
    "accounts add": "ann",
    "accounts password": "ann",
    "accounts remove": "ann",
    "accounts rights": "ann",
    "export": "--to-parquet rows.parquet",
    "ingest": "--mapping paysim --topic payments",
    "labels": "labels.csv",
    "lists add": "blocked kiosk",
    "lists history": "blocked",
    "lists put": "blocked labels.csv",
    "lists remove": "blocked kiosk",
    "lists show": "blocked",
    "mapping check": "handbook payments",
    "mapping guess": "payments",
    "produce": "--generate 1",
    "repartition": "8",
    "rules apply": "--seq 1",
    "rules diff": "rules.toml",
    "rules suppress": "--rule rent --end",
    "state start-over": "--yes",
    "tokens add": "feed",
    "tokens remove": "feed",
}
# These find or make their addresses themselves, and start what the test would have to stop.
_OF_ONE_MACHINE = {"demo", "services up", "services down", "services status"}
_OF_FILES = {"mapping list", "metrics alerts", "metrics dashboard", "rules check"}


def names_of(command: click.Command, path: str = "") -> Iterator[str]:
    """Every command below this one, by its words."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from names_of(child, f"{path} {name}".strip())
    else:
        yield path


def commands(command: click.Command) -> Iterator[str]:
    """Every command of txnwatch that reads a URL, as it is typed."""
    for path in names_of(command):
        if path not in _OF_ONE_MACHINE | _OF_FILES:
            yield f"{path} {_ARGUMENTS.get(path, '')}".strip()
