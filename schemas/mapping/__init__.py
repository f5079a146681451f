"""Mappings: how any record, of a file or a topic, becomes a transaction (docs/data.md)."""

from schemas.mapping.loading import MappingError, load_mapping
from schemas.mapping.mapper import Mapper
from schemas.mapping.outcome import Mapped, Unmapped
from schemas.mapping.spec import MappingSpec

__all__ = ["Mapped", "Mapper", "MappingError", "MappingSpec", "Unmapped", "load_mapping"]
