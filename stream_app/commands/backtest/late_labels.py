"""Labels that reach detectors some time after their transactions, as they do live."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from schemas.labels import is_explained
from stream_app.commands.backtest.contender import Contender
from stream_app.commands.backtest.options import AS_GIVEN
from stream_app.commands.backtest.rows import Piece, Verdicts
from stream_app.detectors.merchant_labels.late import LateRuns


class LateLabels:
    """Has a contender judge rows by the labels that are known before each; what came again has none."""

    def __init__(self, contender: Contender, late: timedelta) -> None:
        self._contender, self._as_given = contender, late == AS_GIVEN
        self._runs = LateRuns(timedelta(0) if self._as_given else late)
        contender.ensemble.tell_runs(self._runs.at)

    def judge(self, rows: Piece) -> Verdicts:
        """Score rows, which come after all before."""
        if not self._contender.ensemble.asks_merchants or not rows.labels:
            return self._contender.judge(rows.transactions)
        verdicts = Verdicts()
        for start, end in self._parts(rows):
            its = self._contender.judge(rows.transactions[start:end])
            self._send(rows, start, its)
            verdicts.add(its)
        return verdicts

    def _parts(self, rows: Piece) -> Iterator[tuple[int, int]]:
        """Where parts begin and end in which no label is known of a transaction of the same part."""
        start, earliest = 0, None
        for at, one in enumerate(rows.transactions):
            if earliest is not None and one.txn_date > earliest:
                yield start, at
                start, earliest = at, None
            known = self._known(rows, at)
            earliest = min(known, earliest or known)
        yield start, len(rows.transactions)

    def _known(self, rows: Piece, place: int) -> datetime:
        """When the label of this place is known."""
        given = rows.known[place] if self._as_given and rows.known else None
        return given or self._runs.known(rows.transactions[place].txn_date)

    def _send(self, rows: Piece, start: int, verdicts: Verdicts) -> None:
        for place in set(range(len(verdicts.scores))).difference(verdicts.again):
            one, fraud = rows.transactions[start + place], rows.labels[start + place]
            if fraud is not None and one.merchant_id:
                flag = verdicts.flags.get(place)
                explained = flag is not None and is_explained({"is_anomaly": True, **flag.facts})
                known = self._known(rows, start + place)
                self._runs.put(one.merchant_id, one.txn_date, fraud=fraud, explained=explained, known=known)
