"""Every setting that more than one program reads, defined once, in groups that the programs inherit.

A field's variable is its name in capitals after `TXNWATCH_`, or the alias beside it. The text under a field
is what docs/settings.md and .env.example say of it. The environment wins over `.env`.
"""

import os
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self

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
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from infra.runtime.addresses import KafkaAccess, check_servers, url_of
from infra.runtime.variables import PREFIX, file_variable, secrets_in_files, unknown_variables

_FILE = ".env"


class SettingsError(click.ClickException):
    """Settings that cannot be used: one line with each variable and what is wrong, never with its value.

    Every command, `faust` too, prints that line and ends with exit code 1.
    """


class SettingsGroup(BaseSettings):
    """Settings that belong together; immutable once read."""

    model_config = SettingsConfigDict(
        env_file=_FILE,
        alias_generator=lambda name: f"{PREFIX}{name.upper()}",
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
        problems = unknown_variables((*os.environ, *dotenv_values(_FILE)), cls.known(), _all_known)
        try:
            if not problems:
                return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            problems = [cls._problem(one["loc"], one["msg"]) for one in error.errors()]
        raise SettingsError("; ".join(problems)) from None

    @classmethod
    def variables(cls) -> dict[str, str]:
        """The variable of each field, by the field's name."""
        return {name: str(field.alias) for name, field in cls.model_fields.items()}

    @classmethod
    def secrets(cls) -> list[str]:
        """The variables of its secrets: each can be in the file that the variable with `_FILE` names."""
        fields = cls.model_fields
        return [
            variable for name, variable in cls.variables().items() if fields[name].annotation is SecretStr
        ]

    @classmethod
    def known(cls) -> set[str]:
        """All variables that it reads."""
        return {*cls.variables().values(), *map(file_variable, cls.secrets())}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one folder for all, by fixed names
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given, then secrets in files, then the environment and `.env`."""
        try:
            found = secrets_in_files(cls.secrets(), os.environ, dotenv_values(_FILE))
        except ValueError as error:
            raise SettingsError(str(error)) from None
        return init_settings, InitSettingsSource(settings_cls, dict(found)), env_settings, dotenv_settings

    @classmethod
    def _problem(cls, place: tuple[int | str, ...], message: str) -> str:
        """`VARIABLE: what is wrong`; the place is a variable, or a field where that was given by name.

        What is wrong with several together has no place, and names them itself.
        """
        said = message.removeprefix("Value error, ")
        return f"{cls.variables().get(str(place[0]), place[0])}: {said}" if place else said


def all_settings() -> Iterator[type[SettingsGroup]]:
    """The settings of every installed part.

    An entry point of the group `txnwatch.settings` names a class, or a function that returns several.
    """
    for point in entry_points(group="txnwatch.settings"):
        found = point.load()
        yield from [found] if isinstance(found, type) else found()


def _all_known() -> set[str]:
    return {variable for settings in all_settings() for variable in settings.known()}


class KafkaSettings(SettingsGroup):
    """Where Kafka is, and how its clients prove who they are."""

    kafka: Annotated[str, AfterValidator(check_servers)] = Field(
        "localhost:9092", alias="KAFKA_BOOTSTRAP_SERVERS"
    )
    """Kafka's addresses, host:port, separated by commas."""
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """What its listener speaks: TLS with SSL and SASL_SSL, a login with SASL_PLAINTEXT and SASL_SSL."""
    kafka_ca: str = ""
    """The PEM file of the authorities whose certificates brokers have to have; the system's unless set."""
    kafka_certificate: str = ""
    """The PEM file of this client's own certificate, where brokers ask for one."""
    kafka_key: str = ""
    """The PEM file of its key; may be the file of the certificate."""
    kafka_key_password: SecretStr = SecretStr("")
    """The password of that key, if it has one."""
    kafka_login: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """The SASL mechanism of a login."""
    kafka_user: str = ""
    """The user of a login; of OAUTHBEARER the client's id."""
    kafka_password: SecretStr = SecretStr("")
    """The user's password; of OAUTHBEARER the client's secret."""
    kafka_token_url: str = Field("", pattern="^(https?://[^@]+)?$")
    """For OAUTHBEARER: where a token is asked for (OAuth 2.0, grant type client_credentials)."""
    kafka_token_scope: str = ""
    """For OAUTHBEARER: the scope to ask for, if any."""

    @property
    def servers(self) -> list[str]:
        """Kafka's bootstrap servers, each `host:port`."""
        return [server.strip() for server in self.kafka.split(",")]

    @property
    def access(self) -> KafkaAccess:
        """How its clients connect."""
        return KafkaAccess(**{name: getattr(self, f"kafka_{name}") for name in KafkaAccess._fields})

    @model_validator(mode="after")
    def _access_is_whole(self) -> Self:
        if bool(self.kafka_certificate) != bool(self.kafka_key):
            raise ValueError("TXNWATCH_KAFKA_CERTIFICATE and TXNWATCH_KAFKA_KEY: give both or neither")
        of_tls = (self.kafka_ca, self.kafka_certificate)
        if any(of_tls) and not self.kafka_security.endswith("SSL"):
            raise ValueError("TXNWATCH_KAFKA_SECURITY: certificates need SSL or SASL_SSL")
        has_login = bool(self.kafka_user and self.kafka_password.get_secret_value())
        if self.kafka_security.startswith("SASL_") != has_login:
            raise ValueError(
                "TXNWATCH_KAFKA_USER and TXNWATCH_KAFKA_PASSWORD: both with SASL_PLAINTEXT or SASL_SSL in "
                "TXNWATCH_KAFKA_SECURITY, else neither"
            )
        if (self.kafka_login == "OAUTHBEARER") != bool(self.kafka_token_url):
            raise ValueError("TXNWATCH_KAFKA_TOKEN_URL: with TXNWATCH_KAFKA_LOGIN=OAUTHBEARER, else none")
        return self


class ServiceSettings(KafkaSettings):
    """Where Kafka, Postgres and Redis are."""

    postgres: Annotated[SecretStr, url_of("postgresql://", "postgres://")] = Field(
        SecretStr("postgresql://localhost:5432/txnwatch"), alias="POSTGRES_URL"
    )
    """The database that rows are written to and queries are answered from."""
    redis: Annotated[SecretStr, url_of("redis://", "rediss://", "unix://")] = Field(
        SecretStr("redis://localhost:6379/0"), alias="REDIS_URL"
    )
    """The mirror of the windows and the query cache."""
    redis_prefix: str = Field("", pattern=r"^[A-Za-z0-9._:{}-]{0,100}$")
    """What every key in Redis begins with, so that several installations can share one."""


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


class PatienceSettings(SettingsGroup):
    """How long worker and ingest wait for what does not answer."""

    retry_seconds: float = Field(300, gt=0, le=86_400)
    """How long a failing service is tried again before worker or ingest ends, in seconds."""
    stop_seconds: float = Field(30, gt=0, le=3600)
    """How long stopping may take before worker or ingest ends at once, in seconds."""
    session_seconds: float = Field(10, ge=6, le=300)
    """How long a silent worker or ingest keeps its partitions, in seconds."""


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
