"""How a command ends when something outside it is wrong: with one line, and without a stack trace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import NamedTuple

import click


class StopError(Exception):
    """The program cannot go on, or going on would lose or mix up something; the message names the ways on."""


class ServiceErrors(NamedTuple):
    """A service by its name and variable, the errors that come of it, and what they mean."""

    name: str
    errors: tuple[type[Exception], ...]
    reason: Callable[[Exception], str] = lambda _: ""


@contextmanager
def ending_in_one_line(*expected: ServiceErrors | type[Exception]) -> Iterator[None]:
    """Within the block, these errors end the command with one line: the message, after its service's name.

    An error of our own, which is none of a service's, is said whole. An error that fits several is of the
    first. Of a group of errors the first that is among them counts.
    """
    services = [one if isinstance(one, ServiceErrors) else ServiceErrors("", (one,)) for one in expected]
    try:
        yield
    except Exception as error:
        for one, service in product(_ungrouped(error), services):
            if isinstance(one, service.errors):
                raise click.ClickException(_line(service, one)) from error
        raise


def _ungrouped(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [inner for one in error.exceptions for inner in _ungrouped(one)]
    return [error]


def _line(service: ServiceErrors, error: Exception) -> str:
    words = str(error).strip() or type(error).__name__
    if service.name:  # ours are written for a person, some with the end of a log
        words = words.splitlines()[0]
    return ": ".join(part for part in (service.name, service.reason(error), words) if part)
