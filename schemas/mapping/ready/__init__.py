"""Ready-made mappings: of public data sets, and of what payment providers export."""

from functools import cache
from importlib.resources import files
from typing import Final

from schemas.mapping.loading import load_mapping
from schemas.mapping.spec import MappingSpec

_FOLDER = files(__name__)
_SUFFIX = ".toml"
READY: Final = tuple(
    sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))
)
"""Their names."""


def ready_text(name: str) -> str:
    """The file of one of READY."""
    return _FOLDER.joinpath(f"{name}{_SUFFIX}").read_text("utf-8")


@cache
def ready_mapping(name: str) -> MappingSpec:
    """The mapping that is called so."""
    return load_mapping(ready_text(name), f"{name}{_SUFFIX}")
