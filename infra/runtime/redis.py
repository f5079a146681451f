"""Redis as worker and API use it: the names of keys, whose they are, and which errors pass."""

import re
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import AuthenticationError, AuthorizationError, DataError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from infra.runtime.cli_errors import StopError

MIRROR_FORMAT = 1
"""Counts up when what the worker writes about a window changes. Mirrors before it had a number were 0."""


class RedisSettings(Protocol):
    """What Redis needs of a program's settings."""

    @property
    def app_id(self) -> str:
        """The worker's app, whose windows are mirrored."""

    @property
    def redis(self) -> SecretStr:
        """The URL."""

    @property
    def redis_prefix(self) -> str:
        """What every key begins with."""


_ANOTHERS = (
    "the windows in this Redis are those of TXNWATCH_APP_ID {owner}, not of {app_id}: set "
    "TXNWATCH_REDIS_PREFIX; or, if {owner} is gone for good, delete the key {key} and run "
    "`txnwatch mirror rebuild`"
)
_KINDS = {
    "cluster": "REDIS_URL leads to a Redis Cluster, and windows of many users are written together: give the "
    "URL of a single server",
    "sentinel": "REDIS_URL leads to a Redis Sentinel, which has no data: give the URL of the server that it "
    "watches, best by a name that follows a failover",
}
_NEWER = "the windows in this Redis are of format {found}, of a newer txnwatch; this one knows {known}"


class RedisKindError(StopError):
    """What answers is no single server; the message says what to do."""


class ForeignMirrorError(StopError):
    """The mirror under this prefix is another app's, or of a newer format; the message says the way out."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of the keys of one installation.

    >>> Keys("eu:").window("4c"), Keys().owner
    ('eu:user:4c:window', 'txnwatch:mirror')
    """

    prefix: str = ""

    @property
    def owner(self) -> str:
        """A hash with the app whose windows are mirrored, `app_id`, and the mirror's `format`."""
        return f"{self.prefix}txnwatch:mirror"

    def window(self, user_id: str) -> str:
        """The hash of a user's window."""
        return f"{self.prefix}user:{user_id}:window"

    def amounts(self, user_id: str) -> str:
        """The list of a user's last amounts, newest first."""
        return f"{self.prefix}user:{user_id}:txn_amounts"

    def query(self, digest: str) -> str:
        """A kept answer."""
        return f"{self.prefix}query:{digest}"


async def check_server(redis: Redis, settings: RedisSettings) -> None:
    """Return where it is a single server, and the mirror is this app's or nobody's yet.

    Raises:
        RedisKindError: It is a cluster or a Sentinel.
        ForeignMirrorError, RedisError: As `check_owner` says.
    """
    if problem := _KINDS.get(await _kind(redis)):
        raise RedisKindError(problem)
    await check_owner(redis, settings)


async def _kind(redis: Redis) -> str:
    """Its mode; empty where its user may not ask. Of database 0: neither kind has the others."""
    pool = redis.connection_pool
    options = {**pool.connection_kwargs, "db": 0}
    async with Redis.from_pool(ConnectionPool(pool.connection_class, **options)) as client:
        try:
            server = await client.info("server")
        except AuthorizationError:
            return ""
    return str(server.get("redis_mode") or server.get("server_mode", ""))  # the second is Valkey's word


async def check_owner(redis: Redis, settings: RedisSettings) -> None:
    """Return where the mirror is this app's, or nobody's yet.

    Raises:
        ForeignMirrorError: It is another app's, or of a newer format.
        RedisError: Redis does not answer.
    """
    app_id, mirror_format = await redis.hmget(Keys(settings.redis_prefix).owner, "app_id", "format")
    if problem := foreign(settings, app_id, mirror_format):
        raise problem


def foreign(
    settings: RedisSettings, app_id: bytes | str | None, mirror_format: bytes | str | None
) -> ForeignMirrorError | None:
    """What is wrong with the mirror's owner as Redis has it; None where it is this app, or nobody."""
    owner = app_id.decode() if isinstance(app_id, bytes) else app_id
    if owner is not None and owner != settings.app_id:
        key = Keys(settings.redis_prefix).owner
        return ForeignMirrorError(_ANOTHERS.format(owner=owner, app_id=settings.app_id, key=key))
    if (found := int(mirror_format or 0)) > MIRROR_FORMAT:
        return ForeignMirrorError(_NEWER.format(found=found, known=MIRROR_FORMAT))
    return None


# What Redis answers begins with one of these, but for what older ones say from within a script.
_PASSING = (
    "READONLY",  # a replica: until the failover is over
    "OOM",
    "LOADING",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "TRYAGAIN",
    "BUSY",  # another client's script
    "MISCONF",  # the disk that snapshots go to is full
    "NOREPLICAS",
)
_LASTING = ("NOPERM", "NOAUTH", "WRONGPASS", "DENIED", "CROSSSLOT", "MOVED")
_WORD = re.compile(rf"(?:^|[\s-])({'|'.join((*_PASSING, *_LASTING))})\b")


def passes(error: Exception) -> bool:
    """Whether an error of Redis passes, so that the same command may succeed later.

    >>> from redis.exceptions import ReadOnlyError
    >>> passes(ReadOnlyError("no", status_code="READONLY")), passes(ResponseError("WRONGTYPE no"))
    (True, False)
    """
    if isinstance(error, ResponseError):
        return _word(error) in _PASSING
    return isinstance(error, (RedisError, OSError)) and not isinstance(
        error, (AuthenticationError, AuthorizationError, DataError)
    )


_REASONS = {
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it refuses the password",
    "NOPERM": "its user lacks a right",
    "CROSSSLOT": "it is a cluster, and one server is needed",
    "MOVED": "it is a cluster, and one server is needed",
    "READONLY": "it is read-only: a failover is under way",
    "OOM": "it is out of memory",
    "LOADING": "it is starting up",
}


def reason(error: Exception) -> str:
    """Why it does not answer, without a word of the server's or of the URL; empty where that is not known.

    >>> reason(ResponseError("CROSSSLOT Keys in request don't hash to the same slot"))
    'it is a cluster, and one server is needed'
    """
    if isinstance(error, ResponseError):
        return _REASONS.get(_word(error), "")
    if isinstance(error, AuthenticationError):
        return _REASONS["WRONGPASS"]
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "it did not answer in time"
    cause = error.__cause__ or error.__context__
    return "nothing listens at its address" if isinstance(cause, ConnectionRefusedError) else ""


def concerns_all(error: Exception) -> bool:
    """Whether it is about Redis as a whole and no single key, whether or not it passes."""
    if isinstance(error, ResponseError):
        return bool(_word(error))
    return isinstance(error, (RedisError, OSError, ForeignMirrorError)) and not isinstance(error, DataError)


def _word(error: ResponseError) -> str:
    """READONLY and the like; empty for another answer."""
    code = str(getattr(error, "status_code", None) or "")
    found = _WORD.search(f"{code} {error}")
    return found[1] if found else ""
