"""A rule set at work: which rules fire for a transaction, and what that comes to. Pure."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import msgspec

from schemas.money import amount_text
from schemas.rules.checking import Checked
from schemas.rules.features import Feature
from schemas.rules.rule_set import SEVERITIES, Action, CheckedRule, RuleSpec
from schemas.rules.tree import Call, Name, Node, decimal_text, parts_of, text_of
from schemas.scored import Reason
from schemas.suppressions import Suppression
from schemas.transaction import Transaction
from stream_app.scoring.rules.compiler import Compiler
from stream_app.scoring.rules.translation import Translation
from stream_app.window import Window

Values = Callable[..., Sequence[Any]]
Read = Callable[[Any, Transaction], Sequence[int | Fraction | None]]
_SHARES = 10_000
_LONGEST_VALUE, _LARGEST = 200, 10**40
_UNTOLD = {"txn_date", "meta_data", "user_id"}


class RuleFailure(msgspec.Struct, frozen=True):
    """A rule that raised on a transaction, for which it did not fire."""

    rule: str
    error: Exception


class Ruling(msgspec.Struct):
    """What the rules say of a transaction for which at least one fired or failed."""

    flags: Sequence[Reason] = ()
    """By which it is flagged, the gravest first."""
    watched: Sequence[Reason] = ()
    """By which it is watched: rules that only watch, and those whose flag is suppressed."""
    allowed: Sequence[Reason] = ()
    """By which it is allowed, whatever else flags it."""
    shadow: Sequence[Reason] = ()
    """What rules in shadow would have said."""
    failures: Sequence[RuleFailure] = ()

    def told(self) -> list[tuple[str, str]]:
        """Each rule, with what it did."""
        groups: dict[str, Sequence[Reason | RuleFailure]] = {
            "flagged": self.flags,
            "watched": self.watched,
            "allowed": self.allowed,
            "shadow": self.shadow,
            "failed": self.failures,
        }
        return [(one.rule, outcome) for outcome, group in groups.items() for one in group]


class Suppressions:
    """Several, found by what they are of."""

    def __init__(self, each: Iterable[Suppression] = ()) -> None:
        self._until: dict[tuple[str, str], datetime] = {}
        for one in each:
            key = (one.user_id, one.rule)
            if one.until is not None:
                self._until[key] = max(one.until, self._until.get(key, one.until))

    def cover(self, transaction: Transaction, rule: str = "") -> bool:
        """Whether the transaction's flag by this rule, or by detectors, is suppressed."""
        if not self._until:
            return False
        user, date = transaction.user_id, transaction.txn_date
        keys = ((user, rule), ("", rule), (user, "")) if rule else ((user, ""),)
        return any(date < self._until[key] for key in keys if key in self._until)


class Evaluator:
    """Runs the rules of a checked set that are not off."""

    def __init__(
        self,
        rules: Sequence[RuleSpec],
        detectors: Sequence[str] = (),
        lists: Mapping[str, Container[str]] | None = None,
        suppressions: Suppressions | None = None,
    ) -> None:
        """`detectors` are those whose scores `judge` gets, in that order.

        Raises:
            KeyError: A rule asks for the score of another.
        """
        self._rules = [CheckedRule(rule) for rule in rules if rule.runs]
        self.needed = sorted({feature for rule in self._rules for feature in rule.features}, key=_order)
        """The features that `judge` reads, in their order."""
        self.suppressions = suppressions or Suppressions()
        names = {name for rule in self._rules for one in rule.expressions for name in one.lists}
        self._lists = {name: (lists or {}).get(name, frozenset()) for name in names}
        self._namespace: dict[str, Any] = {"lists": self._lists}
        self._compiler = Compiler(Translation(self.needed, detectors), self._namespace)
        self._conditions = [(bit, rule.when.tree) for bit, rule in enumerate(self._rules)]
        self._judge = self._compiler.judge(self._conditions)
        self._explanations: dict[int, _Explanation] = {}

    def reading(self, read: Read) -> Self:
        """The same, with what reads the needed features of a state."""
        self._namespace["read"] = read
        return self

    def set_list(self, name: str, entries: Container[str]) -> None:
        """Have a list hold something else from now on; nothing is compiled anew."""
        if name in self._lists:
            self._lists[name] = entries

    @cached_property
    def _guarded(self) -> Callable[..., int]:
        """Slower, and stopped by no rule."""
        return self._compiler.judge(self._conditions, guarded=True)

    def judge(
        self, transaction: Transaction, window: Window, state: Any, scores: Sequence[float | None]
    ) -> Ruling | None:
        """What the rules say; None where none fires."""
        failures: list[RuleFailure] = []
        try:
            fired = self._judge(transaction, window, state, scores)
            if not fired:  # as nearly always
                return None
        except Exception:  # noqa: BLE001 - whatever it is: the rules are asked one by one then
            fired = self._guarded(
                transaction,
                window,
                state,
                scores,
                lambda bit, error: failures.append(RuleFailure(self._rules[bit].spec.name, error)),
            )
        return self._ruling(fired, (transaction, window, state, scores), failures)

    def _ruling(self, fired: int, given: tuple[Any, ...], failures: list[RuleFailure]) -> Ruling | None:
        groups: dict[str, list[Reason]] = {"flag": [], "watch": [], "allow": [], "shadow": []}
        transaction: Transaction = given[0]
        for bit, rule in enumerate(self._rules):
            if not fired >> bit & 1 or not _is_for(rule.spec, transaction.user_id):
                continue
            groups[self._group(rule.spec, transaction)].append(self._reason(bit, given, failures))
        flags = sorted(groups["flag"], key=lambda one: -SEVERITIES.index(one.severity))
        ruling = Ruling(flags, groups["watch"], groups["allow"], groups["shadow"], failures)
        return ruling if any(groups.values()) or failures else None

    def _reason(self, bit: int, given: tuple[Any, ...], failures: list[RuleFailure]) -> Reason:
        """Why the rule fired: its name alone where its message or a number, which it did without, raises."""
        try:
            return self._explanation(bit).reason(given)
        except Exception as error:  # noqa: BLE001 - whatever it is
            spec = self._rules[bit].spec
            failures.append(RuleFailure(spec.name, error))
            return Reason(spec.name, spec.severity, spec.name)

    def _group(self, rule: RuleSpec, transaction: Transaction) -> Action | str:
        if rule.mode == "shadow":
            return "shadow"
        suppressed = rule.action == "flag" and self.suppressions.cover(transaction, rule.name)
        return "watch" if suppressed else rule.action

    def _explanation(self, bit: int) -> "_Explanation":
        if bit not in self._explanations:
            self._explanations[bit] = _Explanation(self._rules[bit], self._compiler)
        return self._explanations[bit]


class _Explanation:
    """What is said of one rule that fired; compiled when it does so for the first time."""

    def __init__(self, rule: CheckedRule, compiler: Compiler) -> None:
        self._rule = rule
        asked = {text_of(node): node for node in _asked(rule.when.tree)}
        pieces = [one.tree for one in rule.message if isinstance(one, Checked)]
        self._asked = [*asked]
        self._values = compiler.values([*asked.values(), *pieces])

    def reason(self, given: tuple[Any, ...]) -> Reason:
        """The rule's, of this transaction."""
        said = [*map(shown, self._values(*given))]
        numbers = {text: value for text, value in zip(self._asked, said, strict=False) if value is not None}
        rest = iter(said[len(self._asked) :])
        parts = [one if isinstance(one, str) else _as_text(next(rest)) for one in self._rule.message]
        spec = self._rule.spec
        return Reason(spec.name, spec.severity, "".join(parts) or spec.name, numbers)


def shown(value: Any) -> str | bool | None:
    """A value as reasons have it: money with two decimals, other numbers with up to four, rounded."""
    if not isinstance(value, tuple):
        return value[:_LONGEST_VALUE] if isinstance(value, str) else value
    above, below, is_money = value
    number = Fraction(above, below)
    if abs(number) >= _LARGEST:
        return "more than can be shown"
    sign, size = "-" * (number < 0), abs(number)
    return sign + (amount_text(round(size * 100)) if is_money else decimal_text(round(size, 4)))


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value


def _asked(tree: Node) -> Iterable[Node]:
    """The fields and functions that a condition asks for."""
    for node in parts_of(tree):
        if isinstance(node, Call) or (isinstance(node, Name) and node.name not in _UNTOLD):
            yield node


def _is_for(rule: RuleSpec, user_id: str) -> bool:
    """Whether the rule is live, or in shadow, for this user: always the same for a rule's name."""
    if not rule.mode.endswith("%"):
        return True
    digest = sha256(f"{rule.name}\0{user_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % _SHARES < Fraction(rule.mode[:-1]) * _SHARES / 100


def _order(feature: Feature) -> tuple[str, int, str]:
    return feature.function, feature.window, feature.field
