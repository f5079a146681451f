"""`txnwatch services`: the embedded Kafka, Postgres and Valkey of a data folder."""

from functools import partial
from pathlib import Path

import click

from infra.embedded import cluster
from infra.embedded.processes import ServiceError
from infra.env_file import write_env_file
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.replacing import check_replaceable
from infra.runtime.settings import Settings

_DATADIR = click.option(
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the services' data and logs. [default: TXNWATCH_DATADIR, else .txnwatch]",
)
_progress = partial(click.echo, err=True)
_ending_in_one_line = ending_in_one_line(ServiceError, OSError)


@click.group()
def services() -> None:
    """Kafka, Postgres and Valkey on this machine, without Docker."""


@services.command()
@_DATADIR
@click.option(
    "--env-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the three addresses into this file as KEY=value lines; its other lines stay.",
)
@_ending_in_one_line
def up(datadir: Path | None, env_file: Path | None) -> None:
    """Start them, return when all three answer, leave them running."""
    if env_file is not None:
        check_replaceable(env_file)
    values = cluster.up(_folder(datadir), report=_progress).as_env()
    for name, value in values.items():
        click.echo(f"{name}={value}")
    if env_file is not None:
        write_env_file(env_file, values)


@services.command()
@_DATADIR
@_ending_in_one_line
def down(datadir: Path | None) -> None:
    """Stop them. Their data stays."""
    cluster.down(_folder(datadir), report=_progress)


@services.command()
@_DATADIR
@click.pass_context
@_ending_in_one_line
def status(context: click.Context, datadir: Path | None) -> None:
    """Show what runs; exit code 1 unless all three answer."""
    found = cluster.status(_folder(datadir))
    for name, service in found.items():
        click.echo(f"{name:<9} {_state(service)}")
    if not all(service.answers for service in found.values()):
        context.exit(1)


def _folder(given: Path | None) -> Path:
    """The folder given; then no setting is read, since a wrong one must not keep services from stopping."""
    return given or Settings.load().datadir


def _state(service: cluster.Status) -> str:
    if service.pid is None:
        return "stopped"
    state = "running" if service.answers else "does not answer"
    return f"{state:<16} pid {service.pid:<8} {service.address}"
