"""Dead letters of foreign topics, mapped again."""

import time
from collections.abc import Iterable
from typing import Self

import msgspec

from infra.ingest.decoding import Decoding
from infra.ingest.registry import Registry
from infra.ingest.settings import Settings
from infra.runtime.mapping_files import read_mapping
from schemas.dead_letter import DeadLetter
from schemas.mapping import Mapped, Mapper, Unmapped
from schemas.transaction import Decoder


class _LetterRecord(msgspec.Struct):
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Iterable[tuple[str, bytes | None]]


class Remapping:
    """Maps them by a mapping, a file or a ready-made one; `async with` has the registry of their schemas.

    Raises:
        MappingError: It cannot be used.
        FormatError: It is none for topics.
    """

    def __init__(self, mapping: str, decoder: Decoder) -> None:
        settings, spec = Settings.load(), read_mapping(mapping)
        self._registry = Registry(settings.schema_registry_url, settings.schema_registry_token)
        self._decoding = Decoding(spec, self._registry)
        self._mapper = Mapper(spec, decoder)

    async def __aenter__(self) -> Self:
        await self._registry.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._registry.__aexit__(*error)

    async def mapped(self, letter: DeadLetter) -> Mapped:
        """The transaction that its message is now.

        Raises:
            Unmapped: It is none.
            RegistryError: The registry refuses.
        """
        at = letter.refused_ms if letter.source_ms is None else letter.source_ms
        record = _LetterRecord(letter.key, letter.value, at, letter.headers)
        await self._decoding.prepare([record])
        fields = self._decoding.decode(record)
        mapped = None if isinstance(fields, str) else self._mapper.read(fields, time.time_ns() // 1_000_000)
        if mapped is None:
            raise Unmapped("mapping", "it leaves this out")
        return mapped
