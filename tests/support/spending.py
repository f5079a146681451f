"""Made-up users who spend around means of their own, thieves who spend several times that, and labels.

Where there are merchants, all that is spent at a compromised one is fraud, whatever the amount.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from schemas.transaction import Transaction

_START = datetime(2027, 3, 1, tzinfo=UTC)


class Labelled(NamedTuple):
    """A transaction, whether it is a fraud, and whether its amount says so."""

    transaction: Transaction
    fraud: bool
    explained: bool


@dataclass(frozen=True)
class Spending:
    """The constants of a history; money in hundredths."""

    seed: int
    users: int = 400
    days: int = 40
    factor: float = 6.0
    share: float = 0.4
    stolen: float = 0.001
    """The share of cards that are stolen on a day."""
    stolen_days: int = 9
    limit: int = 100_000_000
    unexplained: float = 0.0
    """The share of transactions that are frauds of ordinary amounts."""
    currency: str = "CHF"
    merchants: int = 0
    compromised: float = 0.0
    """The share of merchants that are compromised on a day."""
    compromised_days: int = 25

    def history(self) -> Iterator[Labelled]:
        """All transactions, oldest first."""
        random = Random(self.seed)
        means = [random.uniform(1_000, 12_000) for _ in range(self.users)]
        until = [-1] * self.users
        bad = dict[str, int]()
        for day in range(self.days):
            until = [day + self.stolen_days if random.random() < self.stolen else end for end in until]
            bad |= {
                merchant: day + self.compromised_days
                for merchant in map(str, range(self.merchants))
                if random.random() < self.compromised
            }
            paid = [
                (random.randrange(86_400), user)
                for user in range(self.users)
                for _ in range(random.randrange(5))
            ]
            for second, user in sorted(paid):
                at = _START + timedelta(days=day, seconds=second)
                one = self._paid(random, user, means[user], at, stolen=until[user] > day)
                yield self._at_merchant(random, one, bad, day) if self.merchants else one

    def _at_merchant(self, random: Random, one: Labelled, bad: Mapping[str, int], day: int) -> Labelled:
        merchant = str(random.randrange(self.merchants))
        paid = replace(one.transaction, merchant_id=merchant)
        return Labelled(paid, one.fraud or bad.get(merchant, -1) > day, one.explained)

    def _paid(self, random: Random, user: int, mean: float, at: datetime, *, stolen: bool) -> Labelled:
        amount = abs(random.gauss(mean, mean / 2))
        taken = stolen and random.random() < self.share
        if taken:
            amount *= self.factor
        explained = taken or amount > self.limit
        fraud = explained or random.random() < self.unexplained
        name = f"00000000-0000-4000-8000-{user:012d}"
        paid = Transaction(name, name, int(amount), self.currency, at, "paid", None)
        return Labelled(paid, fraud, explained)
