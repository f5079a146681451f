"""How a command ends when something outside it is wrong: with one line, and without a stack trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click


class ServiceErrors(NamedTuple):
    """A service by its name and variable, and the errors that come of it."""

    name: str
    errors: tuple[type[Exception], ...]


@contextmanager
def ending_in_one_line(*expected: ServiceErrors | type[Exception]) -> Iterator[None]:
    """Within the block, these errors end the command with one line: the message, after its service's name.

    An error that fits several is of the first.
    """
    services = [one if isinstance(one, ServiceErrors) else ServiceErrors("", (one,)) for one in expected]
    try:
        yield
    except tuple(kind for service in services for kind in service.errors) as error:
        name = next(service.name for service in services if isinstance(error, service.errors))
        line = str(error) or type(error).__name__
        raise click.ClickException(f"{name}: {line}" if name else line) from error
