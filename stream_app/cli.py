"""`txnwatch worker`."""

import asyncio
from typing import Any

import click
import uvloop

from stream_app.app import create_app
from stream_app.settings import Settings
from stream_app.worker import BoundedWorker


@click.command()
@click.option("--loglevel", default="INFO", show_default=True, help="DEBUG, INFO, WARNING or ERROR.")
@click.option("--web-port", type=int, help="Port of the web views, over TXNWATCH_WEB_PORT.")
@click.option("--datadir", help="Folder of the windows, over TXNWATCH_DATADIR; one a worker.")
def worker(loglevel: str, **overrides: Any) -> None:
    """Score transactions until stopped.

    Several workers share the partitions; each needs a data folder and a web port of its own.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(Settings(**given))
    BoundedWorker(app, loop=loop, loglevel=loglevel, quiet=True).execute_from_commandline()
