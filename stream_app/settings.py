"""The worker's settings: read from the environment and `.env`, refused by name when they make no sense."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Sink = Literal["postgres", "redis"]


class Settings(BaseSettings):
    """One worker's settings; every field is the environment variable of its alias."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, populate_by_name=True, env_ignore_empty=False
    )

    kafka: str = Field("localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)
    postgres: SecretStr = Field(
        SecretStr("postgresql://localhost:5432/txnwatch"), validation_alias="POSTGRES_URL"
    )
    redis: SecretStr = Field(SecretStr("redis://localhost:6379/0"), validation_alias="REDIS_URL")

    app_id: str = Field("txnwatch", validation_alias="TXNWATCH_APP_ID", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    transactions_topic: str = Field(
        "transactions", validation_alias="TXNWATCH_TRANSACTIONS_TOPIC", min_length=1
    )
    scored_topic: str = Field("transactions.scored", validation_alias="TXNWATCH_SCORED_TOPIC")
    anomalies_topic: str = Field("anomalies", validation_alias="TXNWATCH_ANOMALIES_TOPIC", min_length=1)
    dlq_topic: str = Field("transactions.dlq", validation_alias="TXNWATCH_DLQ_TOPIC", min_length=1)
    sinks: Annotated[str, NoDecode] = Field(
        "postgres,redis",
        validation_alias="TXNWATCH_SINKS",
        pattern=r"^((postgres|redis)(,(postgres|redis))*)?$",
    )
    datadir: Path = Field(Path(".txnwatch"), validation_alias="TXNWATCH_DATADIR")

    web_host: str = Field("127.0.0.1", validation_alias="TXNWATCH_WEB_HOST")
    web_port: int = Field(6066, validation_alias="TXNWATCH_WEB_PORT", ge=1, le=65535)

    detector: str = Field("rolling_mean", validation_alias="TXNWATCH_DETECTOR")
    window_size: int = Field(20, validation_alias="TXNWATCH_WINDOW_SIZE", ge=1, le=200)
    window_minimum: int = Field(10, validation_alias="TXNWATCH_WINDOW_MINIMUM", ge=1)
    factor: Fraction = Field(Fraction(5), validation_alias="TXNWATCH_FACTOR", gt=0)

    max_message_bytes: PositiveInt = Field(65536, validation_alias="TXNWATCH_MAX_MESSAGE_BYTES", le=900_000)
    max_ahead_hours: PositiveFloat = Field(24, validation_alias="TXNWATCH_MAX_AHEAD_HOURS")
    batch_size: int = Field(4000, validation_alias="TXNWATCH_BATCH_SIZE", ge=1, le=50_000)
    retry_seconds: PositiveFloat = Field(300, validation_alias="TXNWATCH_RETRY_SECONDS")
    stop_seconds: PositiveFloat = Field(30, validation_alias="TXNWATCH_STOP_SECONDS")
    session_seconds: float = Field(10, validation_alias="TXNWATCH_SESSION_SECONDS", ge=6, le=300)
    block_cache_bytes: PositiveInt = Field(64 << 20, validation_alias="TXNWATCH_BLOCK_CACHE_BYTES")
    write_buffer_bytes: PositiveInt = Field(64 << 20, validation_alias="TXNWATCH_WRITE_BUFFER_BYTES")

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
        return sink in self.sinks.split(",")
