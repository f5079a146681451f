"""A schema registry over HTTP, as Confluent's, Karapace and Apicurio (its compatible API) serve it."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import msgspec
from pydantic import SecretStr
from yarl import URL

from infra.ingest.decoding import json_object
from infra.ingest.schema_kinds import Referred, WrittenSchema, load_reader
from infra.runtime.answers import body_within
from infra.runtime.cli_errors import StopError
from infra.runtime.retry import retried
from schemas.mapping import Unmapped

Read = Callable[[bytes], dict[str, Any]]

_NAMES: Final = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "json"}
_ASK_SECONDS = 10
_LARGEST = 8 << 20
_DEEPEST = 20
_UNKNOWN_SECONDS = 60  # so long a schema that the registry does not have is not asked for again
_WAITED_FOR = frozenset({408, 425, 429})
_FORBIDDEN = frozenset({401, 403})
_SERVER_ERROR = 500
_NOT_FOUND = 404


class RegistryError(StopError):
    """The registry refuses, or none is named; the message names the variable."""


class _NotFound(Exception):  # noqa: N818 - an answer
    """The registry does not have it."""


class RegistryAwayError(Exception):
    """The registry does not answer as it should."""


class Registry:
    """Schemas by their numbers, each asked for once; `async with` has the connection."""

    def __init__(self, url: SecretStr, token: SecretStr) -> None:
        self._url = url
        self._token = token
        self._readers: dict[int, tuple[str, Read]] = {}
        self._unknown: dict[int, float] = {}
        self.waiting_since: float | None = None
        """Since when (`time.monotonic`) it is waited for."""

    async def __aenter__(self) -> Self:
        token = self._token.get_secret_value()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers["Accept"] = "application/vnd.schemaregistry.v1+json, application/json"
        timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
        self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    def lacking(self, numbers: Collection[int]) -> set[int]:
        """Those of the numbers that are to be asked for."""
        recently = time.monotonic() - _UNKNOWN_SECONDS
        return {one for one in numbers if one not in self._readers and self._unknown.get(one, 0) <= recently}

    async def load(self, numbers: Collection[int]) -> None:
        """Ask for schemas; a registry that does not answer is waited for.

        Raises:
            RegistryError: It refuses, or there is none.
        """
        if not self._url.get_secret_value():
            raise RegistryError(
                f"records are framed with numbers of schemas ({', '.join(map(str, sorted(numbers)[:5]))}): "
                'TXNWATCH_SCHEMA_REGISTRY_URL has to say where these are, or [source] format = "json" in the '
                "mapping that such records are refused"
            )
        self.waiting_since = time.monotonic()
        try:
            await asyncio.gather(*map(self._load, numbers))
        finally:
            self.waiting_since = None

    async def _load(self, number: int) -> None:
        try:
            written = await self._written(f"schemas/ids/{number}")
        except _NotFound:
            self._unknown[number] = time.monotonic()
        else:
            kind = _NAMES.get(written.kind, written.kind)
            self._readers[number] = kind, json_object if kind == "json" else load_reader(kind, written)

    def reader(self, number: int, kind: str) -> Read:
        """What reads the bytes that this schema describes.

        Raises:
            Unmapped: The registry does not have it, or it is of another kind than this.
        """
        if number not in self._readers:
            raise Unmapped("schema", f"the registry has no schema {number}")
        its, read = self._readers[number]
        if kind not in ("", its):
            raise Unmapped("schema", f"schema {number} is {its}, and the mapping says {kind}")
        return read

    async def _written(self, path: str, depth: int = 0) -> WrittenSchema:
        if depth > _DEEPEST:
            raise RegistryError(
                f"the schemas that {path} refers to refer to others for more than {_DEEPEST} times"
            )
        found = await retried(partial(self._ask, path), _is_away, what="the schema registry")
        referred = []
        for one in found.get("references") or ():
            address = f"subjects/{quote(one['subject'], safe='')}/versions/{one['version']}"
            referred.append(Referred(one["name"], await self._written(address, depth + 1)))
        return WrittenSchema(found.get("schemaType") or "AVRO", found["schema"], tuple(referred))

    async def _ask(self, path: str) -> Mapping[str, Any]:
        base = self._url.get_secret_value().rstrip("/")
        try:
            async with self._session.get(URL(f"{base}/{path}", encoded=True)) as answer:
                _check(answer.status)
                return _SCHEMA(await _whole(answer))
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            # Its text may have the URL, and so a password.
            raise RegistryAwayError(type(error).__name__) from None


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    body = await body_within(answer, _LARGEST)
    if body is None:
        raise RegistryError(
            f"the schema registry: its answer has more than {_LARGEST:,} bytes: is "
            "TXNWATCH_SCHEMA_REGISTRY_URL its address?"
        )
    return body


_SCHEMA = msgspec.json.Decoder(dict[str, Any]).decode


def _is_away(error: Exception) -> bool:
    return isinstance(error, RegistryAwayError)


def _check(status: int) -> None:
    if status == _NOT_FOUND:
        raise _NotFound
    if status in _FORBIDDEN:
        raise RegistryError(
            f"the schema registry says {status}: TXNWATCH_SCHEMA_REGISTRY_URL takes user:password@ before "
            "the host, TXNWATCH_SCHEMA_REGISTRY_TOKEN a bearer's token"
        )
    if status >= _SERVER_ERROR or status in _WAITED_FOR:
        raise RegistryAwayError(f"status {status}")
    if status != 200:  # noqa: PLR2004 - all is well
        raise RegistryError(
            f"the schema registry says {status}: is TXNWATCH_SCHEMA_REGISTRY_URL its address?"
        )
