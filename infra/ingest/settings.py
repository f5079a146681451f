"""The settings of `txnwatch ingest`."""

from pydantic import Field, SecretStr

from infra.runtime.health_settings import HealthSettings
from infra.runtime.logs import LogSettings
from infra.runtime.settings import (
    KeySettings,
    MessageSettings,
    PatienceSettings,
    ServiceSettings,
    SettingsGroup,
    TopicSettings,
)


class IngestSettings(SettingsGroup):
    """Who reads foreign topics, and where it says how it is."""

    ingest_group: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,200}$")
    """The consumer group that reads the foreign topics; empty: TXNWATCH_APP_ID with -ingest."""
    ingest_host: str = Field("127.0.0.1", min_length=1)
    """Where ingest's /health, /ready and /metrics listen; they have no login."""
    ingest_port: int = Field(6070, ge=0, le=65_535)
    """On which port they listen; 0 for none."""
    schema_registry_url: SecretStr = SecretStr("")
    """Where the schemas of framed records are, with user:password@ before the host if it asks for these."""
    schema_registry_token: SecretStr = SecretStr("")
    """What the registry is sent as a bearer's token, if it asks for one."""


class Settings(
    LogSettings,
    ServiceSettings,
    TopicSettings,
    KeySettings,
    MessageSettings,
    PatienceSettings,
    HealthSettings,
    IngestSettings,
):
    """One ingest process's settings."""

    @property
    def group(self) -> str:
        """The consumer group."""
        return self.ingest_group or f"{self.app_id}-ingest"
