"""Detectors in a plain loop: one transaction after the other, without scorer, batches or bytes of states."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from schemas.transaction import Transaction
from stream_app.detectors import ensemble_of
from stream_app.scoring import Detector
from stream_app.window import Window

States = dict[tuple[str, str, str], Any]
"""By detector, user and currency."""


class Plain:
    """Judges rows of the oracle by these detectors, each user's and currency's in their order."""

    def __init__(self, detector: str, shadow_detectors: str = "", states: States | None = None) -> None:
        self._ensemble = ensemble_of(detector, shadow_detectors)
        self._states = {} if states is None else states

    def __call__(
        self, row: Mapping[str, Any], amounts: list[int], _: tuple[int, int] = (0, 0)
    ) -> dict[str, Any]:
        """What the verdict adds to the row's `meta_data`; `amounts` are those of the window before."""
        transaction = _transaction(row)
        deciding, shadow = (
            [one for one in map(self._asked(transaction, Window.of(amounts)), detectors) if one]
            for detectors in (self._ensemble.deciding, self._ensemble.watching)
        )
        said: dict[str, Any] = {"is_anomaly": bool(deciding)}
        if deciding:
            _, name, _, evidence = max(deciding, key=lambda one: one[0])
            said |= {"detector": name, "rule": self._ensemble.rule, **evidence}
        if shadow:
            said["shadow"] = {name: {"score": score, **evidence} for _, name, score, evidence in shadow}
        return said

    def _asked(self, transaction: Transaction, window: Window) -> Any:
        def ask(detector: Detector[Any]) -> tuple[float, str, float, dict[str, Any]] | None:
            key = (detector.NAME, transaction.user_id, transaction.currency)
            state = self._states.get(key, detector.STATE and detector.STATE.fresh)
            score, evidence = detector.score_one(window, state, transaction)
            if detector.STATE:
                flagged = evidence is not None
                self._states[key] = detector.learn_one(window, state, transaction, flagged=flagged)
            if evidence is None:
                return None
            return detector.strength(score), detector.NAME, score, msgspec.to_builtins(evidence)

        return ask


def _transaction(row: Mapping[str, Any]) -> Transaction:
    return Transaction(
        row["id"],
        row["user_id"],
        int(Decimal(row["amount"]).scaleb(2)),
        row["currency"],
        datetime.fromisoformat(row["txn_date"]),
        row["status"],
        row["meta_data"],
    )


class ByDecision:
    """Judges each row by the decision that held at its place, by what Postgres says of it.

    `applied` has each partition, decision and first offset. As the worker does, it forgets a user's state of
    a detector that does not run once the user comes again.
    """

    def __init__(self, applied: Iterable[tuple[int, int, int]], detectors: Mapping[int, str]) -> None:
        self._states: States = {}
        self._plains = {seq: Plain(name, states=self._states) for seq, name in detectors.items()}
        self._names = {seq: name.split(",") for seq, name in detectors.items()}
        self._applied = [*applied]

    def __call__(self, row: Mapping[str, Any], amounts: list[int], place: tuple[int, int]) -> dict[str, Any]:
        """What the verdict adds to the row's `meta_data`."""
        seq = max(self._held(*place), default=0)
        said = self._plains[seq](row, amounts)
        for key in [*self._states]:
            if key[1:] == (row["user_id"], row["currency"]) and key[0] not in self._names[seq]:
                del self._states[key]
        return said

    def _held(self, partition: int, offset: int) -> Iterable[int]:
        return (seq for number, seq, start in self._applied if number == partition and start <= offset)
