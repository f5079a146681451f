"""The worker's settings: read from the environment and `.env`, refused by name when they make no sense."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AliasChoices,
    Field,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

Sink = Literal["postgres", "redis"]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
SCHEMES = {"postgres": ("postgres://", "postgresql://"), "redis": ("redis://", "rediss://", "unix://")}


class Settings(BaseSettings):
    """One worker's settings; every field is the environment variable of its alias."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=False
    )

    kafka: str = Field(
        "localhost:9092",
        validation_alias="KAFKA_BOOTSTRAP_SERVERS",
        pattern=r"^\s*[^\s,:]+:\d+\s*(,\s*[^\s,:]+:\d+\s*)*$",
    )
    postgres: SecretStr = Field(
        SecretStr("postgresql://localhost:5432/txnwatch"), validation_alias="POSTGRES_URL"
    )
    redis: SecretStr = Field(SecretStr("redis://localhost:6379/0"), validation_alias="REDIS_URL")

    app_id: str = Field("txnwatch", validation_alias="TXNWATCH_APP_ID", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    transactions_topic: Topic = Field("transactions", validation_alias="TXNWATCH_TRANSACTIONS_TOPIC")
    scored_topic: Topic | Literal[""] = Field("transactions.scored", validation_alias="TXNWATCH_SCORED_TOPIC")
    anomalies_topic: Topic = Field("anomalies", validation_alias="TXNWATCH_ANOMALIES_TOPIC")
    dlq_topic: Topic = Field("transactions.dlq", validation_alias="TXNWATCH_DLQ_TOPIC")
    sinks: str = Field(
        "postgres,redis",
        validation_alias="TXNWATCH_SINKS",
        pattern=r"^((postgres|redis)(\s*,\s*(postgres|redis))*)?$",
    )
    # `faust --datadir` is handed on as F_DATADIR.
    datadir: Path = Field(Path(".txnwatch"), validation_alias=AliasChoices("F_DATADIR", "TXNWATCH_DATADIR"))

    web_host: str = Field("127.0.0.1", validation_alias="TXNWATCH_WEB_HOST")
    web_port: int = Field(6066, validation_alias="TXNWATCH_WEB_PORT", ge=1, le=65535)

    detector: str = Field("rolling_mean", validation_alias="TXNWATCH_DETECTOR")
    window_size: int = Field(20, validation_alias="TXNWATCH_WINDOW_SIZE", ge=1, le=200)
    window_minimum: int = Field(10, validation_alias="TXNWATCH_WINDOW_MINIMUM", ge=1)
    factor: Fraction = Field(Fraction(5), validation_alias="TXNWATCH_FACTOR", gt=0)

    max_message_bytes: PositiveInt = Field(65536, validation_alias="TXNWATCH_MAX_MESSAGE_BYTES", le=900_000)
    max_ahead_hours: float = Field(24, validation_alias="TXNWATCH_MAX_AHEAD_HOURS", gt=0, le=1_000_000)
    batch_size: int = Field(16_000, validation_alias="TXNWATCH_BATCH_SIZE", ge=1, le=50_000)
    retry_seconds: float = Field(300, validation_alias="TXNWATCH_RETRY_SECONDS", gt=0, le=86_400)
    stop_seconds: float = Field(30, validation_alias="TXNWATCH_STOP_SECONDS", gt=0, le=3600)
    session_seconds: float = Field(10, validation_alias="TXNWATCH_SESSION_SECONDS", ge=6, le=300)
    window_cache_bytes: PositiveInt = Field(128 << 20, validation_alias="TXNWATCH_WINDOW_CACHE_BYTES")
    block_cache_bytes: PositiveInt = Field(32 << 20, validation_alias="TXNWATCH_BLOCK_CACHE_BYTES")
    write_buffer_bytes: PositiveInt = Field(64 << 20, validation_alias="TXNWATCH_WRITE_BUFFER_BYTES")

    @field_validator("postgres", "redis")
    @classmethod
    def _has_a_known_scheme(cls, url: SecretStr, field: ValidationInfo) -> SecretStr:
        schemes = SCHEMES[str(field.field_name)]
        if not url.get_secret_value().startswith(schemes):
            raise ValueError(f"an address that starts with {' or '.join(schemes)} is needed")
        return url

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        topics = (self.transactions_topic, *self.output_topics)
        if len(set(topics)) < len(topics):
            raise ValueError(f"TXNWATCH_*_TOPIC: two of the topics have one name: {', '.join(topics)}")
        if self.window_minimum > self.window_size:
            raise ValueError(
                "TXNWATCH_WINDOW_MINIMUM is more than TXNWATCH_WINDOW_SIZE: nothing is ever flagged"
            )
        return self

    @property
    def servers(self) -> list[str]:
        """Kafka's bootstrap servers, each `host:port`."""
        return [server.strip() for server in self.kafka.split(",")]

    @property
    def changelog_topic(self) -> str:
        """The windows table's changelog, by Faust's naming."""
        return f"{self.app_id}-windows-changelog"

    @property
    def output_topics(self) -> tuple[str, ...]:
        """The topics written to; all must have as many partitions as the source."""
        topics = (self.scored_topic, self.anomalies_topic, self.dlq_topic, self.changelog_topic)
        return tuple(topic for topic in topics if topic)

    def has_sink(self, sink: Sink) -> bool:
        """Whether TXNWATCH_SINKS names this sink."""
        return sink in self.sinks
