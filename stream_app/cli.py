"""`txnwatch worker`."""

import asyncio
import socket
from typing import Any

import click
import uvloop

from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.kafka import check_topics
from infra.runtime.logs import silenced
from infra.runtime.services import KAFKA
from stream_app.app import create_app
from stream_app.detectors import detector_of
from stream_app.faust_adapter.worker import BoundedWorker
from stream_app.settings import Settings
from stream_app.sinks.owners import check_stores


@click.command()
@click.option("--loglevel", default="INFO", show_default=True, help="DEBUG, INFO, WARNING or ERROR.")
@click.option("--web-port", type=int, help="Port of the web views, over TXNWATCH_WEB_PORT.")
@click.option("--datadir", help="Folder of the windows, over TXNWATCH_DATADIR; one a worker.")
def worker(loglevel: str, **overrides: Any) -> None:
    """Score transactions until stopped.

    Several workers share the partitions; each needs a data folder and a web port of its own.
    """
    settings = Settings.load(**overrides)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    # End with one line where the worker, once started, would end with a stack trace.
    with ending_in_one_line(StopError, ValueError, KAFKA), silenced("aiokafka"):
        detector_of(settings.detector)
        _check_port(settings)
        _check_folder(settings)
        loop.run_until_complete(_check(settings))
    BoundedWorker(create_app(settings), loop=loop, loglevel=loglevel, quiet=True).execute_from_commandline()


async def _check(settings: Settings) -> None:
    await check_topics(settings, settings.topics)
    await check_stores(settings)


def _check_folder(settings: Settings) -> None:
    try:
        settings.datadir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"TXNWATCH_DATADIR: {settings.datadir} is no folder to write to: {error}") from None


def _check_port(settings: Settings) -> None:
    family = socket.AF_INET6 if ":" in settings.web_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.web_host, settings.web_port))
        except OSError as error:
            taken = f"port {settings.web_port} of {settings.web_host} for the web views: {error.strerror}"
            raise ValueError(f"{taken}: TXNWATCH_WEB_PORT or --web-port") from None
