"""The bodies that only the dashboard asks for. Times are milliseconds since 1970, UTC."""

from collections.abc import Sequence

import msgspec


class Produced(msgspec.Struct, frozen=True):
    """When the producer wrote a flagged transaction, by its record's timestamp."""

    id: str
    at: int


class Sample(msgspec.Struct, frozen=True):
    """What happened per second from the sample before this one until `at`.

    `arrived` and `scored` count transactions by the source topic's offsets; `scored` is None for
    the time before this process looked. `produced` is of one flag of that time, if there was one.
    """

    at: int
    arrived: float
    scored: float | None
    flagged: float
    produced: Produced | None = None


class Lag(msgspec.Struct, frozen=True):
    """One partition of the source: `lag` is how many records the workers have not finished."""

    partition: int
    end: int
    committed: int
    lag: int


class PulsePage(msgspec.Struct, frozen=True):
    """The samples after the asked-for time, oldest first, and where each partition is now."""

    now: int
    samples: Sequence[Sample]
    partitions: Sequence[Lag]


class Worker(msgspec.Struct, frozen=True):
    """One member of the workers' consumer group; `address` is where its web views are."""

    id: str
    host: str
    address: str
    partitions: Sequence[int]


class Workers(msgspec.Struct, frozen=True):
    """The group as Kafka describes it (`stable`, `empty`, …) and the partitions that nobody holds."""

    group: str
    state: str
    workers: Sequence[Worker]
    unassigned: Sequence[int]


class Refused(msgspec.Struct, frozen=True):
    """One refused message; `value` and `key` are what is legible of their beginnings."""

    at: int
    reason: str
    detail: str
    key: str
    value: str
    partition: int
    offset: int


class RefusedPage(msgspec.Struct, frozen=True):
    """Refused messages by reason, of all that the topic holds or of the newest, and the last few."""

    total: int
    complete: bool
    reasons: dict[str, int]
    last: Sequence[Refused]


class UserIds(msgspec.Struct, frozen=True):
    """Users in the order of their ids."""

    users: Sequence[str]
