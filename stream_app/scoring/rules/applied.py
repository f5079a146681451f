"""Rules beside detectors: what they ask of the past is kept, and what they say is put into the verdict."""

from collections.abc import Container, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from schemas.rules.rule_set import RuleSpec
from schemas.scored import Flag, Reason
from schemas.transaction import Transaction
from stream_app.scoring.detector import StateFormat
from stream_app.scoring.features import Features
from stream_app.scoring.rules.evaluator import Evaluator, Ruling, Suppressions
from stream_app.window import Window

RULES = "rules"
"""Stands for the detector where rules alone flag, and beside detectors in shadow."""


class Ruled(msgspec.Struct):
    """What comes of a transaction by rules."""

    ruling: Ruling
    flag: Flag | None
    beside: dict[str, list[dict[str, Any]]]
    """What stands beside the verdict: what watched it, and what allowed it."""


class RuleData(NamedTuple):
    """What rules go by beside their text."""

    lists: Mapping[str, Container[str]]
    """By name."""
    suppressions: Suppressions | None
    """None: nothing is suppressed."""


NO_DATA = RuleData({}, None)


def form_of(features: Features) -> StateFormat[Any]:
    """How the state of features is kept."""
    return StateFormat(features.version, features.fresh, features.encode, features.decode)


class Rules:
    """Rules that were checked, at work beside detectors of these names, in this order."""

    def __init__(
        self,
        specs: Sequence[RuleSpec],
        detectors: Sequence[str],
        beside: RuleData | None = None,
    ) -> None:
        """Compile them.

        Raises:
            KeyError: A rule asks for the score of another detector.
        """
        self.specs = specs
        self.evaluator = Evaluator(specs, detectors, *(beside or NO_DATA))
        self.state: StateFormat[Any] | None = None
        """What is kept of each user and currency; None: nothing is asked for."""
        if needed := self.evaluator.needed:
            features = Features(needed)
            self.state = form_of(features)
            self.learn = features.learn
            self.evaluator.reading(features.read)
        self.hash = sha256(msgspec.json.encode(specs)).hexdigest()[:8]

    def judge(
        self,
        flag: Flag | None,
        window: Window,
        state: Any,
        transaction: Transaction,
        scores: Sequence[float | None],
    ) -> Ruled | None:
        """What the rules make of it, beside what the detectors flag it by; None: nothing changes."""
        ruling = self.evaluator.judge(transaction, window, state, scores)
        covered = flag is not None and self.evaluator.suppressions.cover(transaction)
        if ruling is None and not covered:
            return None
        return _ruled(ruling or Ruling(), flag, covered=covered)


def _ruled(ruling: Ruling, flag: Flag | None, *, covered: bool) -> Ruled:
    flags, watched = ruling.flags, [*map(_plain, ruling.watched)]
    if ruling.allowed:
        watched, flags = [*map(_plain, flags), *watched], ()
    if flag is not None and (covered or ruling.allowed):
        watched, flag = [{"detector": flag.detector, **flag.evidence_facts}, *watched], None
    if flags:
        flag = msgspec.structs.replace(flag, reasons=flags) if flag else Flag(RULES, {}, reasons=flags)
    beside = {"watched": watched, "allowed": [*map(_plain, ruling.allowed)]}
    return Ruled(ruling, flag, {name: those for name, those in beside.items() if those})


def _plain(reason: Reason) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(reason)
    return plain
