"""What is wrong with settings or a service, said by a command in a line and without a stack trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click
from aiokafka.errors import KafkaError
from pydantic import ValidationError


class Service(NamedTuple):
    """A service by its name and variable, and the errors that come of it."""

    name: str
    errors: tuple[type[Exception], ...]


KAFKA = Service("Kafka (KAFKA_BOOTSTRAP_SERVERS)", (KafkaError,))


@contextmanager
def said_in_a_line(*services: Service) -> Iterator[None]:
    """Within the block, what these raise ends the command with a line; the first that an error fits."""
    try:
        yield
    except ValidationError as error:
        # Never with the values: they may be secrets.
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise click.ClickException(wrong) from None
    except tuple(kind for service in services for kind in service.errors) as error:
        name = next(service.name for service in services if isinstance(error, service.errors))
        raise click.ClickException(f"{name}: {error}") from None
