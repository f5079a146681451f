"""The worker's settings, from the environment or `.env`."""

from typing import Literal

from pydantic import Field, PositiveInt, ValidationInfo, field_validator

from infra.runtime.addresses import is_loopback
from infra.runtime.health_settings import HealthSettings
from infra.runtime.logs import LogSettings
from infra.runtime.settings import (
    DataSettings,
    KeySettings,
    MessageSettings,
    PatienceSettings,
    ServiceSettings,
    SettingsGroup,
    TopicSettings,
    WindowSettings,
)
from infra.runtime.web_secret_settings import WebSecretSettings
from stream_app.detectors import DETECTORS, is_known, names_in

Sink = Literal["postgres", "redis"]


class SinkSettings(SettingsGroup):
    """Where rows go beside Kafka."""

    sinks: str = Field("postgres,redis", pattern=r"^((postgres|redis)(\s*,\s*(postgres|redis))*)?$")
    """Where rows go beside Kafka: postgres, redis, both separated by a comma, or empty for Kafka alone."""

    share_rows: bool = False
    """Whether rows may go where another app of another TXNWATCH_APP_ID stores its rows already: of a
    transaction that both score, the row that comes first stays."""

    def has_sink(self, sink: Sink) -> bool:
        """Whether TXNWATCH_SINKS names this sink."""
        return sink in self.sinks


class WebSettings(WebSecretSettings):
    """Where the web views are, and who may ask them."""

    web_host: str = "127.0.0.1"
    """Where the worker's web views listen."""
    web_port: int = Field(6066, ge=1, le=65_535)
    """On which port they listen."""
    web_login: Literal["auto", "required", "off"] = "auto"
    """Whether they ask for TXNWATCH_WEB_SECRET; auto: unless they listen on this machine alone."""
    drain_seconds: float = Field(0, alias="TXNWATCH_WORKER_DRAIN_SECONDS", ge=0, le=3600)
    """How long after SIGTERM the worker goes on while /ready says 503, in seconds; another signal ends it."""

    @property
    def needs_secret(self) -> bool:
        """Whether they ask for it."""
        return self.web_login == "required" or (self.web_login == "auto" and not is_loopback(self.web_host))


class RuleSettings(WindowSettings):
    """The rule that scores; it has settings of its own, in `stream_app.detectors`."""

    detector: str = "rolling_mean"
    """The detector that decides, or several separated by commas: what any of them flags is flagged."""
    shadow_detectors: str = ""
    """Detectors that only watch, separated by commas: what they would flag is kept in `meta_data.shadow`."""
    decisions: str = ""
    """A decisions file in TOML: what decides, and what history taught it."""
    untaught_statuses: str = ""
    """Statuses, separated by commas, of transactions that are scored and from which nothing learns."""

    @field_validator("detector", "shadow_detectors")
    @classmethod
    def _are_known(cls, text: str, info: ValidationInfo) -> str:
        names = names_in(text)
        if not all(map(is_known, names)) or not (names or info.field_name != "detector"):
            raise ValueError(
                f"must be one or several of {', '.join(sorted(DETECTORS))}, or names that installed packages "
                "have as entry points of the group txnwatch.detectors"
            )
        every = names + names_in(info.data.get("detector", ""))
        if len(set(every)) < len(every):
            raise ValueError("names a detector twice, or one that decides")
        return text


class Settings(
    LogSettings,
    ServiceSettings,
    TopicSettings,
    KeySettings,
    SinkSettings,
    DataSettings,
    WebSettings,
    RuleSettings,
    MessageSettings,
    PatienceSettings,
    HealthSettings,
):
    """One worker's settings."""

    batch_size: int = Field(16_000, ge=1, le=50_000)
    """How many messages of one partition are scored at a time at the most."""
    in_flight_transactions: int = Field(64_000, ge=1)
    """How many messages of all partitions together are scored and stored at a time at the most; half as many
    more while some have been for 5 s, so that others go on."""
    in_flight_bytes: int = Field(64 << 20, ge=1 << 20)
    """About how many bytes those messages may have in all."""
    fetch_ahead_bytes: int = Field(32 << 20, ge=1 << 20)
    """How many bytes are fetched ahead of them, of all partitions together, as Kafka has them."""
    window_cache_bytes: PositiveInt = 128 << 20
    """The memory that the windows written last are kept in, in bytes for the whole process."""
    block_cache_bytes: PositiveInt = 32 << 20
    """The memory that RocksDB caches blocks in, in bytes for the whole process."""
    traces_url: str = Field("", pattern=r"^(https?://[^\s@]+)?$")
    """Where a trace of each batch is sent, by OTLP over HTTP, as to http://localhost:4318/v1/traces; empty:
    none is made. It needs the extra otel, whose own variables hold, as OTEL_EXPORTER_OTLP_HEADERS."""
    write_buffer_bytes: PositiveInt = 64 << 20
    """The memory that RocksDB collects writes in, in bytes for the whole process."""
