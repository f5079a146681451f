"""`txnwatch` with a detector whose scores no rule can reckon with: `python -m tests.support.with_fragile`."""

from math import inf

from infra.cli import main
from schemas.transaction import Transaction
from stream_app.detectors import DETECTORS
from stream_app.window import Window
from tests.support.largest import Evidence, Largest, Seen

LIMIT = 500_00


class Fragile(Largest):
    """Flags nothing, and scores amounts from the limit on as infinite."""

    NAME = "fragile"

    def score_one(
        self, _window: Window, _state: Seen, transaction: Transaction
    ) -> tuple[float, Evidence | None]:
        """1, or infinite."""
        return inf if transaction.amount >= LIMIT else 1.0, None


if __name__ == "__main__":
    DETECTORS["fragile"] = "tests.support.with_fragile:Fragile"
    main()
