"""Mappings as commands are given them: a file, or the name of a ready-made one."""

from pathlib import Path

import click

from schemas.mapping import MappingError, MappingSpec, load_mapping
from schemas.mapping.ready import READY, ready_mapping

_MOST_BYTES = 1 << 20


class MappingType(click.ParamType):
    """The type of an option or argument that names a mapping."""

    name = "mapping"

    def convert(
        self, value: str | MappingSpec, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> MappingSpec:
        """The mapping of a file, or the ready-made one of this name.

        Raises:
            click.ClickException: There is none, or it cannot be used; the message has the places.
        """
        if isinstance(value, MappingSpec):
            return value
        try:
            return read_mapping(value)
        except MappingError as error:
            raise click.ClickException(str(error)) from None


def read_mapping(given: str) -> MappingSpec:
    """The mapping of a file, or the ready-made one of this name.

    Raises:
        MappingError: There is none, or it cannot be used.
    """
    path = Path(given)
    if given in READY and not path.exists():
        return ready_mapping(given)
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        ready = "" if "/" in given or given.endswith(".toml") else f"; ready-made are {', '.join(READY)}"
        raise MappingError(f"{given}: {error.strerror}{ready}") from None
    except UnicodeDecodeError:
        raise MappingError(f"{given}: not UTF-8") from None
    return load_mapping(text, given)
