"""Every setting that more than one program reads, defined once, in groups that the programs inherit.

A field's variable is its name in capitals after `TXNWATCH_`, or the alias beside it. The text under a field
is what docs/settings.md and .env.example say of it. The environment wins over `.env`.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlsplit

import click
from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AliasChoices,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

_FILE = ".env"
_PREFIX = "TXNWATCH_"
_HIGHEST_PORT = 65_535
_SERVER = re.compile(r"([^\s,:/@\[\]]+|\[[0-9A-Fa-f:.]+(%\w+)?\]):(\d{1,5})", re.ASCII)


# Parameters of Redis' URLs.
_NUMBERS = {"db", "health_check_interval", "max_connections", "socket_connect_timeout", "socket_timeout"}


class SettingsError(click.ClickException):
    """Settings that cannot be used: one line with each variable and what is wrong, never with its value.

    Every command, `faust` too, prints that line and ends with exit code 1.
    """


class SettingsGroup(BaseSettings):
    """Settings that belong together; immutable once read."""

    model_config = SettingsConfigDict(
        env_file=_FILE,
        alias_generator=lambda name: f"{_PREFIX}{name.upper()}",
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a value may be a secret
        use_attribute_docstrings=True,
    )

    @classmethod
    def load(cls, **given: Any) -> Self:
        """Read them; a value given here by its field's name wins, unless it is None.

        Raises:
            SettingsError: A value cannot be used, or a variable is named like a setting and is none.
        """
        problems = _unknown(cls.variables().values())
        try:
            if not problems:
                return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            problems = [cls._problem(str(one["loc"][0]), one["msg"]) for one in error.errors()]
        raise SettingsError("; ".join(problems)) from None

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The variable of each field, by the field's name."""
        return {name: str(field.alias) for name, field in cls.model_fields.items()}

    @classmethod
    def _problem(cls, place: str, message: str) -> str:
        """`VARIABLE: what is wrong`; the place is a variable, or a field where that was given by name."""
        return f"{cls.variables().get(place, place)}: {message.removeprefix('Value error, ')}"


def all_settings() -> Iterator[type[SettingsGroup]]:
    """The settings of every installed part.

    An entry point of the group `txnwatch.settings` names a class, or a function that returns several.
    """
    for point in entry_points(group="txnwatch.settings"):
        found = point.load()
        yield from [found] if isinstance(found, type) else found()


def _unknown(known: Collection[str]) -> list[str]:
    """A line's part for each variable that is named like a setting, and is none of any part."""
    named = {name.upper() for name in (*os.environ, *dotenv_values(_FILE))}
    unknown = {name for name in named if name.startswith(_PREFIX)} - set(known)
    if not unknown:
        return []
    of_all = {variable for settings in all_settings() for variable in settings.variables().values()}
    if not of_all:
        return ["txnwatch's code is newer than its installation: run `make install`, or install it again"]
    nearest = {name: difflib.get_close_matches(name, of_all, 1, cutoff=0)[0] for name in unknown - of_all}
    return [f"{name}: there is no such setting; did you mean {nearest[name]}?" for name in sorted(nearest)]


def _servers(value: str) -> str:
    for server in value.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 0 < int(found[3]) <= _HIGHEST_PORT:
            raise ValueError("must be host:port, several separated by commas, an IPv6 address in [brackets]")
    return value


def _url(*schemes: str) -> AfterValidator:
    """Accept URLs that begin with one of these; Postgres URLs may name several hosts."""
    start = " or ".join(schemes)

    def check(url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        parts = _parsed(text) if text.startswith(schemes) else None
        if parts is None:
            raise ValueError(
                f"must be a URL that starts with {start}, its port 1 to 65535, its parameters name=value"
            )
        # Libraries split at the first @ or /, and show the rest of the password as a host or a database.
        if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query or parts.fragment:
            raise ValueError("write @ as %40, / as %2F, ? as %3F and # as %23 in its user and password")
        return url

    return AfterValidator(check)


def _parsed(url: str) -> SplitResult | None:
    """The URL's parts; None where a library would stumble over a host, a port or a parameter, and show it."""
    try:
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        numbers = [float(parameters[name]) for name in _NUMBERS & parameters.keys()]
        ports = [urlsplit(f"//{host}").port for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        return None
    return None if 0 in ports or not all(map(isfinite, numbers)) else parts


class ServiceSettings(SettingsGroup):
    """Where Kafka, Postgres and Redis are."""

    kafka: Annotated[str, AfterValidator(_servers)] = Field("localhost:9092", alias="KAFKA_BOOTSTRAP_SERVERS")
    """Kafka's addresses, host:port, separated by commas."""
    postgres: Annotated[SecretStr, _url("postgresql://", "postgres://")] = Field(
        SecretStr("postgresql://localhost:5432/txnwatch"), alias="POSTGRES_URL"
    )
    """The database that rows are written to and queries are answered from."""
    redis: Annotated[SecretStr, _url("redis://", "rediss://", "unix://")] = Field(
        SecretStr("redis://localhost:6379/0"), alias="REDIS_URL"
    )
    """The mirror of the windows and the query cache."""
    redis_prefix: str = Field("", pattern=r"^[A-Za-z0-9._:{}-]{0,100}$")
    """What every key in Redis begins with, so that several installations can share one."""

    @property
    def servers(self) -> list[str]:
        """Kafka's bootstrap servers, each `host:port`."""
        return [server.strip() for server in self.kafka.split(",")]


Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class TopicSettings(SettingsGroup):
    """The topics, and the consumer group that reads the first of them."""

    app_id: str = Field("txnwatch", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """The worker's consumer group; its changelog topic is named after it."""
    transactions_topic: Topic = "transactions"
    """Where transactions arrive."""
    scored_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$")] = "transactions.scored"
    """Where every scored transaction goes; empty switches the topic off."""
    anomalies_topic: Topic = "anomalies"
    """Where the flagged ones go."""
    dlq_topic: Topic = "transactions.dlq"
    """Where refused messages go, with the reason in their headers."""
    control_topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,249}$", validate_default=True)] = ""
    """Where decisions go that change what is flagged; empty: TXNWATCH_TRANSACTIONS_TOPIC with .control."""

    @property
    def changelog_topic(self) -> str:
        """The topic that the worker's windows are restored from, by Faust's naming."""
        return _changelog_of(self.app_id)

    @property
    def topics(self) -> tuple[str, ...]:
        """The source, those that the worker writes to (scored only where it is switched on), decisions."""
        written = (self.scored_topic, self.anomalies_topic, self.dlq_topic, self.changelog_topic)
        return (self.transactions_topic, *(topic for topic in written if topic), self.control_topic)

    @field_validator("control_topic")
    @classmethod
    def _is_named(cls, topic: str, info: ValidationInfo) -> str:
        return topic or f"{info.data.get('transactions_topic', '')}.control"

    @field_validator("transactions_topic", "scored_topic", "anomalies_topic", "dlq_topic", "control_topic")
    @classmethod
    def _has_a_name_of_its_own(cls, topic: str, info: ValidationInfo) -> str:
        before = {name: value for name, value in info.data.items() if name.endswith("_topic") and value}
        before["app_id"] = _changelog_of(info.data.get("app_id", ""))
        for name, other in before.items():
            if topic == other:
                raise ValueError(f"{cls.variables()[name]} gives another topic the same name")
        return topic


def _changelog_of(app_id: str) -> str:
    return f"{app_id}-windows-changelog"


class KeySettings(SettingsGroup):
    """How producers choose partitions."""

    partitioner: Literal["murmur2", "crc32", "fnv1a", "auto"] = "murmur2"
    """How producers choose a key's partition: murmur2 (Java's client and most others), crc32 (librdkafka's
    default), fnv1a (sarama's default), or auto, which learns it from the keys (docs/producers.md)."""


class DataSettings(SettingsGroup):
    """Where local data is."""

    # `faust --datadir` hands its value on as F_DATADIR.
    datadir: Path = Field(
        Path(".txnwatch"),
        alias="TXNWATCH_DATADIR",
        validation_alias=AliasChoices("F_DATADIR", "TXNWATCH_DATADIR"),
    )
    """The folder of local data: the worker's windows, one folder a worker, and the embedded services."""


class WindowSettings(SettingsGroup):
    """What is kept of each user, whatever the rule."""

    window_size: int = Field(20, ge=1, le=200)
    """How many of the user's last amounts a transaction is compared with."""
    window_by: Literal["currency", "user"] = "currency"
    """Whether a user has a window for each currency, or one over all."""


class MessageSettings(SettingsGroup):
    """Which messages are refused."""

    max_message_bytes: PositiveInt = Field(65_536, le=900_000)
    """The largest message that is read, in bytes; larger ones are refused."""
    max_ahead_hours: float = Field(24, gt=0, le=1_000_000)
    """How far a transaction's date may lie ahead of its arrival, in hours."""


class MonthSettings(SettingsGroup):
    """The months of rows in Postgres."""

    months_ahead: int = Field(3, ge=0, le=120)
    """How many months of rows have a partition ahead of time."""
    retention_months: int = Field(0, ge=0, le=12_000)
    """How many whole months of rows are kept, older ones are dropped; 0 for all."""


class Settings(ServiceSettings, TopicSettings, KeySettings, DataSettings, MessageSettings, MonthSettings):
    """What the commands of infra need: topics, migrate, partitions, produce, services and demo."""

    partitions: int = Field(4, ge=1, le=10_000)
    """How many partitions `txnwatch topics` gives each topic; all have the same."""
    replication: int = Field(1, ge=1, le=32_767)
    """How many copies of each partition `txnwatch topics` asks for."""
