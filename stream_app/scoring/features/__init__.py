"""What a user did in the last hour, day or month, as numbers for rules."""

from stream_app.scoring.features.features import Features
from stream_app.scoring.features.past import Value

__all__ = ["Features", "Value"]
