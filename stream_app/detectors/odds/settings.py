"""Settings of `odds`; what history can tell is in its profile instead."""

from typing import Literal

from pydantic import Field

from infra.runtime.settings import WindowSettings


class Settings(WindowSettings):
    """When an amount is flagged by its odds."""

    odds_threshold: int | Literal[""] = ""
    """Log odds in 1/512 nat from which on a transaction is flagged; it wins over the profile's."""
    odds_probability: float = Field(0.5, ge=0.001, le=0.999)
    """How likely a fraud has to be to be flagged, where neither a setting nor the profile has a threshold."""
    odds_precision: float = Field(0.95, gt=0, lt=1)
    """How many flags of a labelled history are to be frauds, when a profile's threshold is fitted to it."""
    odds_untaught_statuses: str = "declined,failed,reversed,cancelled,canceled,rejected,expired,voided,error"
    """Statuses, with commas between, of transactions that are scored and teach nothing."""
    odds_row: int = Field(12, ge=2, le=255)
    """After so many suspicious amounts in a row a user's history begins afresh: a life may change."""

    def untaught(self) -> frozenset[str]:
        """The statuses that do not teach, in small letters."""
        return frozenset(status.strip().lower() for status in self.odds_untaught_statuses.split(","))
