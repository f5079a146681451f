"""The options by which commands are told how to read a file of transactions."""

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import click

from infra.produce.amounts import MARKS

C = TypeVar("C", bound=Callable[..., Any])


def reading_options(verb: str, mapping: Callable[..., dict[str, str]], map_help: str) -> Callable[[C], C]:
    """Decorate a command that reads a file, to `verb` its rows, with the options for reading it.

    `mapping` is the callback of `--map`, which has the words `map_help`.
    """
    options = [
        click.option(
            "--map",
            "mapping",
            multiple=True,
            callback=mapping,
            metavar="FIELD=COLUMN",
            help=f"Which column is which field, e.g. amount=Total; {map_help}",
        ),
        click.option("--currency", help="For rows that have none."),
        click.option("--status", help="For rows that have none."),
        click.option("--assume-utc", is_flag=True, help="Take dates without an offset as UTC."),
        click.option(
            "--decimal", type=click.Choice([".", ","]), help="The mark before the decimals of amounts."
        ),
        click.option(
            "--thousands", type=click.Choice(MARKS), help="The mark between thousands: . , ' or a space."
        ),
        click.option("--sort", is_flag=True, help=f"{verb} by date: all is read first, in bounded memory."),
        click.option("--as-is", is_flag=True, help=f"{verb} in the order of FILE, whatever that is."),
    ]
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)
