"""What probes are told, and where."""

from pydantic import Field

from infra.runtime.settings import SettingsGroup


class HealthSettings(SettingsGroup):
    """What probes of worker, ingest and API are told, and where they may ask beside its own port."""

    progress_seconds: float = Field(120, ge=10, le=86_400)
    """How long worker or ingest may be behind and finish nothing, while all that it needs answers, before
    /health says 503, in seconds."""
    probe_host: str = Field("127.0.0.1", min_length=1)
    """Where /health, /ready and /metrics are answered beside the program's own port, without a login."""
    probe_port: int = Field(0, ge=0, le=65_535)
    """On which port; 0 for none."""
