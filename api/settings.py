"""The API's settings: read from the environment and `.env`, refused by name when they make no sense."""

from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_SCHEMES = {"postgres": ("postgresql", "postgres"), "redis": ("redis", "rediss", "unix")}


class Settings(BaseSettings):
    """One API process's settings; every field is the environment variable of its alias."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    kafka: str = Field("localhost:9092", alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)
    postgres: SecretStr = Field(SecretStr("postgresql://localhost:5432/txnwatch"), alias="POSTGRES_URL")
    redis: SecretStr = Field(SecretStr("redis://localhost:6379/0"), alias="REDIS_URL")

    app_id: str = Field("txnwatch", alias="TXNWATCH_APP_ID", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    transactions_topic: str = Field("transactions", alias="TXNWATCH_TRANSACTIONS_TOPIC", min_length=1)
    scored_topic: str = Field("transactions.scored", alias="TXNWATCH_SCORED_TOPIC")
    anomalies_topic: str = Field("anomalies", alias="TXNWATCH_ANOMALIES_TOPIC", min_length=1)
    dlq_topic: str = Field("transactions.dlq", alias="TXNWATCH_DLQ_TOPIC", min_length=1)
    datadir: Path = Field(Path(".txnwatch"), alias="TXNWATCH_DATADIR")

    # The worker's rule, for the dashboard to draw.
    detector: str = Field("rolling_mean", alias="TXNWATCH_DETECTOR")
    window_size: int = Field(20, alias="TXNWATCH_WINDOW_SIZE", ge=1, le=200)
    window_minimum: int = Field(10, alias="TXNWATCH_WINDOW_MINIMUM", ge=1)
    factor: Fraction = Field(Fraction(5), alias="TXNWATCH_FACTOR", gt=0)

    worker_url: str = Field(
        "http://127.0.0.1:6066", alias="TXNWATCH_WORKER_URL", pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$"
    )
    host: str = Field("127.0.0.1", alias="TXNWATCH_API_HOST", min_length=1)
    port: int = Field(8000, alias="TXNWATCH_API_PORT", ge=0, le=65535)
    cors_origins: str = Field("*", alias="TXNWATCH_CORS_ORIGINS")
    cursor_key: SecretStr = Field(SecretStr(""), alias="TXNWATCH_CURSOR_KEY")

    query_cache_seconds: float = Field(2.0, alias="TXNWATCH_QUERY_CACHE_SECONDS", ge=0, le=3600)
    query_cache_closed_seconds: float = Field(
        30.0, alias="TXNWATCH_QUERY_CACHE_CLOSED_SECONDS", ge=0, le=86_400
    )
    months_ahead: int = Field(3, alias="TXNWATCH_MONTHS_AHEAD", ge=0, le=120)
    retention_months: int = Field(0, alias="TXNWATCH_RETENTION_MONTHS", ge=0, le=12_000)
    database_connections: int = Field(10, alias="TXNWATCH_API_DATABASE_CONNECTIONS", ge=1, le=1000)
    dependency_seconds: PositiveFloat = Field(3.0, alias="TXNWATCH_API_DEPENDENCY_SECONDS")
    query_seconds: PositiveFloat = Field(10.0, alias="TXNWATCH_API_QUERY_SECONDS")

    exports: int = Field(2, alias="TXNWATCH_API_EXPORTS", ge=1, le=1000)
    export_seconds: PositiveFloat = Field(600.0, alias="TXNWATCH_API_EXPORT_SECONDS")

    stream_clients: int = Field(15_000, alias="TXNWATCH_SSE_CLIENTS", ge=1)
    heartbeat_seconds: PositiveFloat = Field(15.0, alias="TXNWATCH_SSE_HEARTBEAT_SECONDS")
    send_seconds: PositiveFloat = Field(30.0, alias="TXNWATCH_SSE_SEND_SECONDS")
    buffer_bytes: int = Field(1 << 20, alias="TXNWATCH_SSE_BUFFER_BYTES", ge=1)
    retry_milliseconds: int = Field(2000, alias="TXNWATCH_SSE_RETRY_MILLISECONDS", ge=0)
    history_readers: int = Field(4, alias="TXNWATCH_SSE_HISTORY_READERS", ge=1, le=64)
    linger_seconds: PositiveFloat = Field(10.0, alias="TXNWATCH_SSE_LINGER_SECONDS")

    @field_validator("postgres", "redis")
    @classmethod
    def _is_a_url(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuses what no client could use, without showing it: it may hold a password."""
        schemes = _SCHEMES[str(info.field_name)]
        try:
            parts = urlsplit(value.get_secret_value())
            # Postgres URLs may name several hosts, which have no one port.
            usable = parts.scheme in schemes and (info.field_name == "postgres" or parts.port != 0)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"must be a URL that starts with {' or '.join(schemes)}")
        return value

    @property
    def origins(self) -> frozenset[str]:
        """The origins of TXNWATCH_CORS_ORIGINS, a comma list; `*` stands for every one."""
        return frozenset(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())
