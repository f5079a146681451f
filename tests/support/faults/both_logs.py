"""Verdicts by source and control log in a plain loop: each decision from where Postgres says it held."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from schemas.decision import LABEL, LIST, RULE_OFF, RULES, SUPPRESSION, Decision
from schemas.rules.rule_set import RuleSpec
from stream_app.detectors import ensemble_of
from stream_app.detectors.merchant_labels.runs import with_label
from stream_app.scoring import MerchantRun
from tests.support.faults import rules
from tests.support.faults.plain import Plain, Said, States
from tests.support.faults.rules import Moment, Paid, Past, Rule

Applied = tuple[int, int, int]
"""A partition, a decision, and from which offset on it held there."""
SEVERITIES = ("critical", "high", "medium", "low")


@dataclass(slots=True)
class Held:
    """What holds in a partition, as far as its decisions were applied."""

    rule_set: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)
    lists: dict[str, set[str]] = field(default_factory=dict)
    suppressed: dict[tuple[str, str], datetime] = field(default_factory=dict)
    runs: dict[str, MerchantRun | None] = field(default_factory=dict)
    _coming: list[Mapping[str, Any]] = field(default_factory=list)

    def apply(self, decision: Decision) -> None:
        """Take a decision in."""
        body = decision.body
        match decision.kind:
            case kind if kind == RULES:
                self.rule_set, self.body, self.off = decision.seq, body, set()
            case kind if kind == RULE_OFF and body["rule_set"] == self.rule_set:
                self.off.add(body["rule"])
            case kind if kind == LIST:
                self._change(body)
            case kind if kind == SUPPRESSION:
                self._suppress(body)
            case kind if kind == LABEL and body["merchant_id"]:
                day = datetime.fromisoformat(body["txn_date"]).toordinal()
                before = self.runs.get(body["merchant_id"])
                said = {"fraud": body["fraud"], "explained": body["explained"]}
                self.runs[body["merchant_id"]] = with_label(before, day, **said)

    def _change(self, body: Mapping[str, Any]) -> None:
        """Change a list, once the last part is there."""
        self._coming.append(body)
        if body["more"]:
            return
        entries = {entry for part in self._coming for entry in part["entries"]}
        self._coming.clear()
        its = self.lists.get(body["name"], set())
        changed = {"put": entries, "add": its | entries, "remove": its - entries}
        self.lists[body["name"]] = changed[body["change"]]

    def _suppress(self, body: Mapping[str, Any]) -> None:
        key = body["user_id"], body["rule"]
        self.suppressed.pop(key, None)
        if body["until"]:
            self.suppressed[key] = datetime.fromisoformat(body["until"])

    def covers(self, user: str, date: datetime, rule: str) -> bool:
        """Whether a flag is suppressed: one of a rule, or of detectors where none is named."""
        keys = ((user, rule), (user, ""), ("", rule)) if rule else ((user, ""),)
        return any(date < self.suppressed[key] for key in keys if key in self.suppressed)

    @property
    def rules(self) -> list[Rule]:
        """Those that run."""
        return [rules.RULES[one["name"]] for one in self.body.get("rules", ()) if one["name"] not in self.off]

    @property
    def specs(self) -> list[RuleSpec]:
        """All of the rule set, as the worker has them."""
        specs = msgspec.convert(self.body.get("rules", []), list[RuleSpec])
        return [msgspec.structs.replace(one, mode="off") if one.name in self.off else one for one in specs]


@dataclass(slots=True)
class BothLogs:
    """Judges each row by what had been decided at its place.

    As the worker does, it forgets what is kept of a user in a currency for a detector that does not run, or
    for rules of which none asks for it, once the user comes again.
    """

    applied: Sequence[Applied]
    decisions: Mapping[int, Decision]
    held: defaultdict[int, Held] = field(default_factory=lambda: defaultdict(Held))
    """By partition."""
    _states: States = field(default_factory=dict)
    _pasts: defaultdict[tuple[str, str], Past] = field(default_factory=lambda: defaultdict(Past))
    _plains: dict[tuple[str, str], Plain] = field(default_factory=dict)
    _rules: dict[Any, str] = field(default_factory=dict)
    _waiting: dict[int, list[Applied]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for one in sorted(self.applied, key=lambda one: one[1], reverse=True):
            self._waiting.setdefault(one[0], []).append(one)

    def __call__(self, row: Mapping[str, Any], amounts: list[int], place: tuple[int, int]) -> dict[str, Any]:
        """What the verdict adds to the row's `meta_data`."""
        held = self._at(*place)
        detectors = held.body.get("detector", "rolling_mean"), held.body.get("shadow_detectors", "")
        if detectors not in self._plains:
            self._plains[detectors] = Plain(*detectors, states=self._states)
        plain = self._plains[detectors]
        said = plain.ask(row, amounts, lambda merchant, _: held.runs.get(merchant))
        self._forget(row, plain.kept)
        return self._verdict(row, held, said, self._fired(row, held, said))

    def finish(self) -> None:
        """Apply what no transaction came after."""
        for partition in [*self._waiting]:
            self._at(partition, 1 << 62)

    def _at(self, partition: int, offset: int) -> Held:
        waiting, held = self._waiting.get(partition, []), self.held[partition]
        while waiting and waiting[-1][2] <= offset:
            held.apply(self.decisions[waiting.pop()[1]])
        return held

    def _forget(self, row: Mapping[str, Any], kept: Iterable[str]) -> None:
        user = row["user_id"], row["currency"]
        for key in [key for key in self._states if key[1:] == user and key[0] not in kept]:
            del self._states[key]

    def _fired(self, row: Mapping[str, Any], held: Held, said: Said) -> list[tuple[Rule, dict[str, Any]]]:
        """The rules that fire, each with what it says; the transaction joins what is kept for them."""
        date = datetime.fromisoformat(row["txn_date"])
        now = Paid(int(date.timestamp()), int(Decimal(row["amount"]).scaleb(2)), row.get("merchant_id"))
        past = self._pasts[row["user_id"], row["currency"]]
        moment = Moment(now, row["user_id"], past, said.scores, held.lists)
        fired = [(rule, numbers) for rule in held.rules if (numbers := rule.fires(moment)) is not None]
        asked = {rule.asks for rule in held.rules}
        for name in ("amounts", "distinct", "seen"):
            its: list[Paid] = getattr(past, name)
            if name in asked:
                its.append(now)
            else:
                its.clear()
        return [(rule, _reason(rule, numbers)) for rule, numbers in fired]

    def _verdict(
        self, row: Mapping[str, Any], held: Held, said: Said, fired: Sequence[tuple[Rule, dict[str, Any]]]
    ) -> dict[str, Any]:
        groups: dict[str, list[dict[str, Any]]] = {"flag": [], "watch": [], "allow": [], "shadow": []}
        user, date = row["user_id"], datetime.fromisoformat(row["txn_date"])
        for rule, reason in fired:
            does = "shadow" if rule.spec.get("mode") == "shadow" else rule.spec.get("action", "flag")
            groups["watch" if does == "flag" and held.covers(user, date, rule.name) else does].append(reason)
        flags, watched, flag = groups["flag"], groups["watch"], said.flag
        flags.sort(key=lambda one: SEVERITIES.index(one["severity"]))
        if groups["allow"]:
            flags, watched = [], [*flags, *watched]
        if flag and (groups["allow"] or held.covers(user, date, "")):
            watched, flag = [{"detector": flag[0], **flag[1]}, *watched], None
        verdict: dict[str, Any] = {"is_anomaly": bool(flag or flags)}
        verdict |= {"decision": held.rule_set} if held.rule_set else {}
        if flag or flags:
            name, evidence = flag or ("rules", {})
            verdict |= {"detector": name, "rule": self._rule(held), **evidence}
        if flags:
            verdict |= {"severity": flags[0]["severity"], "reasons": flags}
        shadow = said.shadow | ({"rules": {"reasons": groups["shadow"]}} if groups["shadow"] else {})
        beside = {"shadow": shadow, "watched": watched, "allowed": groups["allow"]}
        return verdict | {name: those for name, those in beside.items() if those}

    def _rule(self, held: Held) -> str:
        """The eight digits that a flag names."""
        key = held.rule_set, tuple(sorted(held.off))
        if key not in self._rules:
            names = held.body.get("detector", "rolling_mean"), held.body.get("shadow_detectors", "")
            self._rules[key] = ensemble_of(*names, rules=held.specs).rule
        return self._rules[key]


def _reason(rule: Rule, numbers: dict[str, str | bool]) -> dict[str, Any]:
    severity = rule.spec.get("severity", "medium")
    return {"rule": rule.name, "severity": severity, "message": rule.name, "numbers": numbers}
