"""Features that are filled from rows: the body of a decision."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from schemas.rules.features import Feature


class Warming(msgspec.Struct, frozen=True):
    """Features that every user is to have as if they had been kept for long."""

    features: Sequence[Feature]
    since: Annotated[datetime, msgspec.Meta(tz=True)]
    """Rows of this date and later ones count."""
