"""What somebody decides who decides at random: of every kind, and about what there is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from schemas.lists import Change
from schemas.suppressions import Suppression
from tests.support.faults.rules import RULE_SETS, RULES
from tests.support.traffic import START, Sent, revised, traffic

MERCHANTS = tuple(f"shop {number}" for number in range(8))


def shopping(count: int, seed: int, *, users: int = 50) -> list[Sent]:
    """About so many transactions: two in three say a merchant, and one in five is one that comes again."""
    random = Random(seed)
    sent = traffic(count * 4 // 5, users=users, seed=seed)
    for at in random.sample(range(len(sent)), len(sent) * 2 // 3):
        sent[at] = replace(sent[at], merchant_id=random.choice(MERCHANTS))
    return revised(sent, seed=seed)


class Whims:
    """Choices by a seed among these users, of whom the last transaction is of about that time."""

    def __init__(self, seed: int, sent: Sequence[Sent]) -> None:
        self.random = Random(seed)
        self._users = sorted({one.user_id for one in sent})
        self._last = len(sent)

    def rule_set(self) -> Mapping[str, Any]:
        """Another rule set."""
        return self.random.choice(RULE_SETS)

    def list_change(self) -> tuple[str, Change, list[str]]:
        """A list, and what is done with which entries."""
        name, texts, most = self.random.choice([("blocked", self._users, 5), ("trusted", MERCHANTS, 3)])
        change: Change = self.random.choice(["put", "add", "remove"])
        return name, change, self.random.sample(texts, self.random.randint(0 if change == "put" else 1, most))

    def suppression(self) -> Suppression:
        """Of a user, of a rule or of both, until some time or ended."""
        user, rule = self.random.choice(self._users), self.random.choice([*RULES])
        until = self.random.choice([None, self._date(), self._date()])
        return Suppression(until, *self.random.choice([(user, ""), ("", rule), (user, rule)]))

    def rule_of(self, body: Mapping[str, Any]) -> str:
        """A rule of a rule set; empty where it has none."""
        return self.random.choice([str(one["name"]) for one in body.get("rules", ())] or [""])

    def fraud(self) -> bool:
        """Whether something was a fraud: mostly."""
        return self.random.random() < 0.8

    def _date(self) -> datetime:
        return START + timedelta(seconds=self.random.randint(0, 2 * self._last))
