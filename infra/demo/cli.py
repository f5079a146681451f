"""`txnwatch demo`."""

import asyncio
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import aiohttp
import click
from dotenv import dotenv_values
from pydantic import SecretStr
from rich.console import Console

from infra.demo import watch
from infra.demo.children import ChildError, Children
from infra.demo.feeding import arguments_for
from infra.demo.group import guarded
from infra.demo.numbers import show_numbers
from infra.embedded.processes import ServiceError
from infra.embedded.state import free_port, is_free
from infra.produce.errors import InputError
from infra.runtime.background import cancel_on
from infra.runtime.cli_errors import ServiceErrors, ending_in_one_line
from infra.runtime.settings import Settings

_START_SECONDS = 60
_API_PORT, _WEB_PORT = 8000, 6066


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Feed this file, of any kind that produce reads, in place of made-up traffic.",
)
@click.option(
    "--mapping",
    metavar="MAPPING",
    help="How its records become transactions, as for produce. [default: found, and shown]",
)
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Transactions a second. [default: 100; a file: as fast as it goes]",
)
@click.option(
    "--datadir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of data and logs. [default: demo in TXNWATCH_DATADIR]",
)
def demo(data: Path | None, mapping: str | None, rate: float | None, datadir: Path | None) -> None:
    """Start everything on this machine, feed it, and show what is found.

    Ctrl-C stops it all; the data stays for the next time.
    """
    folder = (datadir or Settings.load().datadir / "demo").resolve()
    with (
        ending_in_one_line(ServiceErrors(str(data), (InputError,)), ServiceError, ChildError, OSError),
        suppress(asyncio.CancelledError, KeyboardInterrupt),
    ):
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        asyncio.run(_demo(folder, _feed(data, mapping, rate, folder)))


def _feed(data: Path | None, mapping: str | None, rate: float | None, folder: Path) -> list[str]:
    if data is None:
        return ["produce", "--generate", "--full", "--users", "100", "--rate", str(rate or 100)]
    console = Console(highlight=False, markup=False)
    how = [str(data), "--mapping", mapping] if mapping else arguments_for(data, folder, console)
    return ["produce", *how, *(["--rate", str(rate)] if rate else [])]


async def _demo(folder: Path, feed: list[str]) -> None:
    cancel_on(signal.SIGTERM)
    async with guarded(folder, click.echo) as group, aiohttp.ClientSession() as session:
        children = Children(group, folder / "logs", click.echo)
        services = await _prepare(children, folder)
        environment = children.environment
        api_port, web_port = int(environment["TXNWATCH_API_PORT"]), int(environment["TXNWATCH_WEB_PORT"])
        api, web = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{web_port}"
        worker, service = await children.start("worker"), await children.start("api")
        await watch.until_answers(session, worker, f"{web}/table/", web_port, within=_START_SECONDS)
        await watch.until_answers(session, service, f"{api}/ready", api_port, within=_START_SECONDS)
        feeding = await children.start(*feed)
        click.echo(_welcome(api, web, environment, folder, worker.process.pid))
        settings = Settings.load(
            kafka=environment["KAFKA_BOOTSTRAP_SERVERS"], postgres=SecretStr(environment["POSTGRES_URL"])
        )
        async with asyncio.TaskGroup() as tasks:
            for child in (worker, service):
                tasks.create_task(children.keep(child))
            made_up = "--generate" in feed
            tasks.create_task(children.keep(feeding) if made_up else children.watch(feeding))
            tasks.create_task(watch.keep_services(folder, children, services))
            tasks.create_task(watch.watch_disk(folder, click.echo))
            tasks.create_task(watch.show_flags(session, service, api, api_port, click.echo))
            tasks.create_task(show_numbers(settings, click.echo))


async def _prepare(children: Children, folder: Path) -> list[str]:
    """Start the services, with topics and schema; the command that starts them."""
    addresses = folder / "addresses.env"
    services = ["services", "up", "--datadir", str(folder), "--env-file", str(addresses)]
    await children.run(*services, shown=True)
    web_port = _port(_WEB_PORT, "worker's web views")
    children.environment.update(
        {name: value or "" for name, value in dotenv_values(addresses).items()},
        TXNWATCH_DATADIR=str(folder / "worker"),
        TXNWATCH_API_PORT=str(_port(_API_PORT, "API")),
        TXNWATCH_API_DRAIN_SECONDS="0",
        TXNWATCH_WEB_PORT=str(web_port),
        TXNWATCH_WORKER_URL=f"http://127.0.0.1:{web_port}",
    )
    await children.run("topics")
    await children.run("migrate")
    return services


def _welcome(api: str, web: str, environment: Mapping[str, str], folder: Path, worker_pid: int) -> str:
    lines = {
        "API": api,
        "its dashboard": f"{api}/dashboard",
        "its documentation": f"{api}/docs",
        "live anomalies": f"{api}/sse/anomalies",
        "worker's web views": f"{web}/table/windows/",
        "Kafka": environment["KAFKA_BOOTSTRAP_SERVERS"],
        "Postgres": environment["POSTGRES_URL"],
        "Redis": environment["REDIS_URL"],
        "data and logs": str(folder),
    }
    listed = "\n".join(f"  {name:<20} {address}" for name, address in lines.items())
    return f"\n{listed}\n\nCtrl-C stops it all. Try: kill -9 {worker_pid} (the worker)\n"


def _port(preferred: int, what: str) -> int:
    """The preferred port, or another one where that is taken, which is said."""
    if is_free(preferred):
        return preferred
    port = free_port()
    click.echo(f"port {preferred} is taken by another program: the {what} listens on {port}")
    return port
