"""Flags by amount as `odds` does, and by what late labels say of the merchant."""

from dataclasses import replace
from typing import Any

import msgspec

from schemas.scored import facts_of
from schemas.transaction import Transaction
from stream_app.detectors.merchant_labels.chances import Chance, Chances, together
from stream_app.detectors.merchant_labels.evidence import WORDS, Evidence, of_merchant
from stream_app.detectors.merchant_labels.fitting import MerchantFitting
from stream_app.detectors.merchant_labels.profile import Profile
from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings
from stream_app.detectors.odds.state import State
from stream_app.scoring import MerchantRun
from stream_app.window import Window

_UNLESS_TOLD = Profile()


class MerchantLabels(Odds):
    """`odds` and the run of fraud labels at the merchant, in one score.

    Of a transaction without a merchant, or at one without a run, it says what `odds` says.
    """

    NAME = "merchant_labels"
    VERSION = 1
    EVIDENCE = Evidence
    WORDS = WORDS
    PROFILE = Profile
    STATE = replace(Odds.STATE, of=Odds.NAME)
    ASKS_MERCHANTS = True

    def __init__(self, settings: Settings, profile: msgspec.Struct | None = None) -> None:
        super().__init__(settings, profile)
        known = profile if isinstance(profile, Profile) else _UNLESS_TOLD
        self._chances = Chances(known.sure, known.lasts)

    @classmethod
    def fitting(cls, settings: Settings) -> MerchantFitting:
        """What makes its profile of history."""
        return MerchantFitting(settings)

    def sentence(self) -> str:
        """What is flagged, in one sentence."""
        return (
            "A transaction is flagged where fraud is likely by what its user usually spends and did before, "
            "or by the frauds that became known at its merchant."
        )

    def score_one(self, window: Window, state: State, transaction: Transaction) -> tuple[float, Any]:
        """The log odds of a fraud by amount or merchant, and the evidence where they reach the threshold."""
        amount = self._look(state, transaction).weighed[0]
        run = transaction.merchant_id and self.runs(transaction.merchant_id, transaction.txn_date)
        chance = self._chances.of(run, transaction.txn_date.toordinal()) if run else None
        score = together(amount, chance.odds) if chance else amount
        if score < self.threshold:
            return score, None
        return score, self._explained(state, transaction, run, chance)

    def _explained(
        self, state: State, transaction: Transaction, run: MerchantRun | str | None, chance: Chance | None
    ) -> msgspec.Struct:
        """The amount where it is enough by itself, and the merchant wherever it adds to the score."""
        look, parts = self._look(state, transaction), list[msgspec.Struct]()
        if look.weighed[0] >= self.threshold:
            parts.append(self._evidence(look))
        if chance and isinstance(run, MerchantRun):
            parts.append(of_merchant(run, transaction.txn_date.toordinal(), chance))
        return Evidence(**{name: value for part in parts for name, value in facts_of(part).items()})
