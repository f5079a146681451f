"""The settings that topics, migrations and services need, from the environment or `.env`."""

from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# What Kafka allows.
_TOPIC = r"^[A-Za-z0-9._-]{1,249}$"


class SettingsError(ValueError):
    """A setting has a value that cannot be used; the message names its variable."""


class Settings(BaseSettings):
    """Immutable once loaded.

    A field's variable is its name in capitals after `TXNWATCH_`, or the one given beside it.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_prefix="TXNWATCH_",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    kafka_bootstrap_servers: str = Field(
        default="localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1
    )
    postgres_url: str = Field(
        default="postgresql://localhost:5432/txnwatch",
        validation_alias="POSTGRES_URL",
        pattern="^postgres(ql)?://",
        repr=False,  # it may hold a password
    )
    redis_url: str = Field(
        default="redis://localhost:6379/0",
        validation_alias="REDIS_URL",
        pattern="^(redis|rediss|unix)://",
        repr=False,
    )
    app_id: str = Field(default="txnwatch", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    transactions_topic: str = Field(default="transactions", pattern=_TOPIC)
    scored_topic: str = Field(default="transactions.scored", pattern=f"^$|{_TOPIC}")
    anomalies_topic: str = Field(default="anomalies", pattern=_TOPIC)
    dlq_topic: str = Field(default="transactions.dlq", pattern=_TOPIC)
    partitions: int = Field(default=4, ge=1, le=10_000)
    replication: int = Field(default=1, ge=1, le=32_767)
    datadir: Path = Path(".txnwatch")
    months_ahead: int = Field(default=3, ge=0, le=120)
    retention_months: int = Field(default=0, ge=0, le=12_000)

    @classmethod
    def load(cls) -> Self:
        """Read them.

        Raises:
            SettingsError: One has no usable value.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError(_by_variable(error)) from error

    @property
    def changelog_topic(self) -> str:
        """The topic that the worker's windows are restored from."""
        return f"{self.app_id}-windows-changelog"

    @property
    def data_topics(self) -> tuple[str, ...]:
        """The topics but for the changelog; the scored one only where it is switched on."""
        named = (self.transactions_topic, self.scored_topic, self.anomalies_topic, self.dlq_topic)
        return tuple(topic for topic in named if topic)

    @model_validator(mode="after")
    def _topics_differ(self) -> Self:
        topics = (*self.data_topics, self.changelog_topic)
        if len(set(topics)) < len(topics):
            raise ValueError(f"two of the topics have the same name: {', '.join(topics)}")
        return self


def _by_variable(error: ValidationError) -> str:
    """One line a setting, by the name of its variable; no values, which may be secrets."""
    return "\n".join(f"{_variable(one['loc'])}: {one['msg']}" for one in error.errors())


def _variable(location: tuple[int | str, ...]) -> str:
    name = str(location[0]) if location else "TXNWATCH_*_TOPIC"
    return name if name.isupper() else f"TXNWATCH_{name.upper()}"
