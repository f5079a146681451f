"""`txnwatch demo`."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import click

from infra.demo import watch
from infra.demo.children import ChildError, Children
from infra.embedded import cluster
from infra.embedded.processes import ServiceError
from infra.embedded.state import free_port, is_free
from infra.runtime.background import cancel_on
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.settings import Settings

_START_SECONDS = 60
_API_PORT, _WEB_PORT = 8000, 6066


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False),
    help="Feed this CSV or JSONL file, also .gz, in place of made-up traffic.",
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
def demo(data: str | None, rate: float | None, datadir: Path | None) -> None:
    """Start everything on this machine, feed it, and show what is found.

    Ctrl-C stops it all; the data stays for the next time.
    """
    folder = (datadir or Settings.load().datadir / "demo").resolve()
    with (
        ending_in_one_line(ServiceError, ChildError, watch.NoAnswerError, OSError),
        suppress(asyncio.CancelledError, KeyboardInterrupt),
    ):
        asyncio.run(_demo(folder, _feed(data, rate)))


def _feed(data: str | None, rate: float | None) -> list[str]:
    if data is None:
        return ["produce", "--generate", "--users", "100", "--rate", str(rate or 100)]
    return ["produce", data, *(["--rate", str(rate)] if rate else [])]


async def _demo(folder: Path, feed: list[str]) -> None:
    cancel_on(signal.SIGTERM)
    async with _everything(folder) as children, aiohttp.ClientSession() as session:
        environment = children.environment
        api = f"http://127.0.0.1:{environment['TXNWATCH_API_PORT']}"
        web = f"http://127.0.0.1:{environment['TXNWATCH_WEB_PORT']}"
        worker, service = await children.start("worker"), await children.start("api")
        await watch.until_answers(session, f"{web}/table/", within=_START_SECONDS)
        await watch.until_answers(session, f"{api}/ready", within=_START_SECONDS)
        await children.start(*feed)
        click.echo(_welcome(api, web, environment, folder, worker.process.pid))
        async with asyncio.TaskGroup() as group:
            for child in (worker, service):
                group.create_task(children.keep(child))
            group.create_task(watch.show_counts(session, f"{web}/metrics/prometheus", click.echo))
            group.create_task(watch.show_flags(session, api, click.echo))


@asynccontextmanager
async def _everything(folder: Path) -> AsyncIterator[Children]:
    """The services with topics and schema, and the children beside them, until the block is left."""
    try:
        addresses = await asyncio.to_thread(cluster.up, folder, click.echo)
        web_port = str(_port(_WEB_PORT))
        environment = {
            **addresses.as_env(),
            "TXNWATCH_DATADIR": str(folder / "worker"),
            "TXNWATCH_API_PORT": str(_port(_API_PORT)),
            "TXNWATCH_WEB_PORT": web_port,
            "TXNWATCH_WORKER_URL": f"http://127.0.0.1:{web_port}",
        }
        children = Children(environment, folder / "logs", click.echo)
        try:
            await children.run("topics")
            await children.run("migrate")
            yield children
        finally:
            click.echo("\nstopping")
            await children.stop()
    finally:
        await asyncio.to_thread(cluster.down, folder)
        click.echo("everything has stopped")


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


def _port(preferred: int) -> int:
    """The preferred port, or another one where that is taken."""
    return preferred if is_free(preferred) else free_port()
