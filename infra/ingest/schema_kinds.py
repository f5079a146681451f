"""Schemas as they are written in a registry, and what reads data by them."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple

from infra.runtime.cli_errors import StopError
from schemas.mapping import Unmapped

_MODULES: Final = {"avro": "infra.ingest.avro", "protobuf": "infra.ingest.protobuf"}
"""Each needs the packages of the extra of its name."""


class MissingPackageError(StopError):
    """A format needs a package that is not installed."""


class WrittenSchema(NamedTuple):
    """A schema: its kind as the registry calls it, its text, and the schemas that it refers to."""

    kind: str
    text: str
    referred: tuple["Referred", ...] = ()


class Referred(NamedTuple):
    """A schema by the name under which another one refers to it."""

    name: str
    written: WrittenSchema


def load_reader(kind: str, written: WrittenSchema) -> Callable[[bytes], dict[str, Any]]:
    """What reads data by the schema; one that nobody can read data by refuses each.

    Raises:
        MissingPackageError: The packages for such schemas are not installed.
    """
    if kind not in _MODULES:
        return _refusing(f"schemas of the kind {kind} are not known")
    try:
        module = import_module(_MODULES[kind])
    except ImportError as error:
        raise MissingPackageError(f"{error}: install txnwatch[{kind}]") from error
    try:
        found: Callable[[bytes], dict[str, Any]] = module.reader(written)
    except Exception as error:  # noqa: BLE001 - whatever a library says of a schema that it cannot use
        return _refusing(f"the schema cannot be used: {type(error).__name__}: {error}")
    return found


def _refusing(why: str) -> Callable[[bytes], dict[str, Any]]:
    def refuse(_data: bytes) -> dict[str, Any]:
        raise Unmapped("schema", why)

    return refuse
