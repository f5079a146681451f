"""Detectors in a plain loop: one transaction after the other, without scorer, batches or bytes of states."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import Any, NamedTuple

import msgspec

from schemas.transaction import Transaction
from stream_app.detectors import ensemble_of
from stream_app.scoring import Detector, MerchantRuns
from stream_app.scoring.merchants import no_runs
from stream_app.window import Window

States = dict[tuple[str, str, str], Any]
"""By detector, user and currency."""


class Said(NamedTuple):
    """What detectors say of a transaction."""

    flag: tuple[str, dict[str, Any]] | None
    """The detector to which it stands out most, and its evidence."""
    shadow: dict[str, dict[str, Any]]
    scores: dict[str, Any]


class Plain:
    """Judges rows of the oracle by these detectors, each user's and currency's in their order."""

    def __init__(self, detector: str, shadow_detectors: str = "", states: States | None = None) -> None:
        self._ensemble = ensemble_of(detector, shadow_detectors)
        self._states = {} if states is None else states
        self.kept = {_kept_under(one) for one in self._ensemble.all}
        """The names of the states that it keeps."""

    def __call__(
        self, row: Mapping[str, Any], amounts: list[int], _: tuple[int, int] = (0, 0)
    ) -> dict[str, Any]:
        """What the verdict adds to the row's `meta_data`; `amounts` are those of the window before."""
        flag, shadow, _scores = self.ask(row, amounts)
        said: dict[str, Any] = {"is_anomaly": flag is not None}
        if flag:
            name, evidence = flag
            said |= {"detector": name, "rule": self._ensemble.rule, **evidence}
        return said | ({"shadow": shadow} if shadow else {})

    def ask(self, row: Mapping[str, Any], amounts: list[int], runs: MerchantRuns = no_runs) -> Said:
        """What the detectors say, and have them learn."""
        transaction, found = transaction_of(row), Said(None, {}, {})
        self._ensemble.tell_runs(runs)
        strongest = -inf
        for detector in self._ensemble.all:
            score, evidence = self._asked(detector, transaction, Window.of(amounts))
            found.scores[detector.NAME] = score
            if evidence is None:
                continue
            facts = msgspec.to_builtins(evidence)
            if detector in self._ensemble.watching:
                found.shadow[detector.NAME] = {"score": score, **facts}
            elif detector.strength(score) > strongest:
                strongest, found = detector.strength(score), found._replace(flag=(detector.NAME, facts))
        return found

    def _asked(self, detector: Detector[Any], transaction: Transaction, window: Window) -> tuple[Any, Any]:
        key = (_kept_under(detector), transaction.user_id, transaction.currency)
        state = self._states.get(key, detector.STATE and detector.STATE.fresh)
        score, evidence = detector.score_one(window, state, transaction)
        if detector.STATE:
            flagged = evidence is not None
            self._states[key] = detector.learn_one(window, state, transaction, flagged=flagged)
        return score, evidence


def _kept_under(detector: Detector[Any]) -> str:
    """One that goes on from another's states keeps them under its name."""
    return (detector.STATE and detector.STATE.of) or detector.NAME


def transaction_of(row: Mapping[str, Any]) -> Transaction:
    """A row as detectors have it."""
    return Transaction(
        row["id"],
        row["user_id"],
        int(Decimal(row["amount"]).scaleb(2)),
        row["currency"],
        datetime.fromisoformat(row["txn_date"]),
        row["status"],
        row["meta_data"],
        merchant_id=row.get("merchant_id"),
    )
