"""How a command ends when something outside it is wrong: with one line, and without a stack trace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from traceback import walk_tb
from typing import NamedTuple

import click

from infra.runtime.retry import causes


class StopError(Exception):
    """The program cannot go on, or going on would lose or mix up something; the message names the ways on."""


class ServiceErrors(NamedTuple):
    """A service by its name and variable, the errors that come of it, and what they mean.

    Errors of the system (a time-out, a refused connection, a full disk) may be anybody's. Where a `library`
    is named, they are the service's if they came through it.
    """

    name: str
    errors: tuple[type[Exception], ...]
    reason: Callable[[Exception], str] = lambda _: ""
    library: str = ""

    def raised(self, error: Exception) -> bool:
        """Whether the error is one of the service's."""
        if isinstance(error, OSError) and self.library and self.library not in _libraries(error):
            return False
        return isinstance(error, self.errors)


@contextmanager
def ending_in_one_line(*expected: ServiceErrors | type[Exception]) -> Iterator[None]:
    """Within the block, these errors and StopError end the command with one line: the service, the message.

    An error of our own, which is none of a service's, is said whole. An error that fits several is of the
    first. Of a group of errors the first that is among them counts.
    """
    try:
        yield
    except Exception as error:
        for one, kind in product(_ungrouped(error), (*expected, StopError)):
            if isinstance(kind, ServiceErrors) and kind.raised(one):
                raise click.ClickException(_of_service(kind, one)) from error
            if isinstance(kind, type) and isinstance(one, kind):
                raise click.ClickException(_words(one)) from error
        raise


def _ungrouped(error: Exception) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [inner for one in error.exceptions for inner in _ungrouped(one)]
    return [error]


def _libraries(error: Exception) -> Iterator[str]:
    """The packages that the error, or what caused it, came through."""
    for one in causes(error):
        for frame, _line in walk_tb(one.__traceback__):
            yield frame.f_globals.get("__name__", "").partition(".")[0]


def _of_service(service: ServiceErrors, error: Exception) -> str:
    """What a service's error says in its first line, the rest may be long."""
    parts = service.name, service.reason(error), _words(error).splitlines()[0]
    return ": ".join(part for part in parts if part)


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
