"""`txnwatch worker`."""

import asyncio
from typing import Any

import click
import uvloop

from stream_app.app import create_app
from stream_app.faust_adapter.worker import BoundedWorker
from stream_app.settings import Settings


@click.command()
@click.option("--loglevel", "log_level", help="DEBUG, INFO, WARNING or ERROR, over TXNWATCH_LOG_LEVEL.")
@click.option("--web-port", type=int, help="Port of the web views, over TXNWATCH_WEB_PORT.")
@click.option("--datadir", help="Folder of the windows, over TXNWATCH_DATADIR; one a worker.")
def worker(**overrides: Any) -> None:
    """Score transactions until stopped.

    Several workers share the partitions; each needs a data folder and a web port of its own.
    """
    settings = Settings.load(**overrides)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    BoundedWorker(create_app(settings), loop=loop, loglevel=None, quiet=True).execute_from_commandline()
