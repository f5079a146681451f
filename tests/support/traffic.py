"""Made-up transactions for tests: the same seed, the same transactions."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """A transaction as a producer sends it; `amount` is decimal text."""

    id: str
    user_id: str
    amount: str
    currency: str
    txn_date: str
    status: str
    merchant_id: str | None = None
    card_id: str | None = None
    country: str | None = None
    channel: str | None = None

    @property
    def key(self) -> bytes:
        """The record's key."""
        return self.user_id.encode()

    @property
    def value(self) -> bytes:
        """The record's value."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None}).encode()

    @property
    def hundredths(self) -> int:
        """The amount in integer hundredths."""
        return int(self.amount.replace(".", ""))


def traffic(count: int, *, users: int = 50, seed: int = 1, start: int = 0) -> list[Sent]:
    """Transactions one second apart; about one in thirty is ten times what its user spends."""
    return list(_traffic(count, users, Random(seed), start))


def _traffic(count: int, users: int, random: Random, start: int) -> Iterator[Sent]:
    ids = [str(UUID(int=random.getrandbits(128), version=4)) for _ in range(users)]
    scales = [random.randint(500, 20_000) for _ in ids]
    for number in range(start, start + count):
        user = random.randrange(users)
        amount = random.randint(scales[user] // 2, scales[user] * 2)
        if random.random() < 1 / 30:
            amount *= 10
        yield Sent(
            id=str(UUID(int=random.getrandbits(128), version=4)),
            user_id=ids[user],
            amount=f"{amount // 100}.{amount % 100:02d}",
            currency="INR",
            txn_date=(START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
            status="paid",
        )


def revised(transactions: Sequence[Sent], *, seed: int = 1) -> list[Sent]:
    """The same, some of them in a second currency, and some again soon: as they were or with other content.

    What changes is the status, the amount, the currency, the merchant or the date, by days, months or not at
    all. Some say merchant and country.
    """
    random, result = Random(seed), list[Sent]()
    for sent in transactions:
        if random.random() < 0.3:
            sent = replace(sent, currency="JPY")  # noqa: PLW2901 - it goes on as another
        if random.random() < 0.3:
            sent = replace(sent, merchant_id="m-é", country="IN")  # noqa: PLW2901 - the same
        result.append(sent)
        if random.random() < 0.25:
            result.append(_again(random.choice(result[-60:]), random))
    return result


def _again(sent: Sent, random: Random) -> Sent:
    date = datetime.fromisoformat(sent.txn_date) + timedelta(days=random.choice([1, 40]))
    return random.choice(
        [
            sent,
            replace(sent, status=random.choice(["paid", "settled", "reversed"])),
            replace(sent, amount=f"{sent.hundredths // 7}.00"),
            replace(sent, currency="USD"),
            replace(sent, merchant_id="m-2", channel="web"),
            replace(sent, merchant_id=None, country=None),
            replace(sent, status="moved", txn_date=date.isoformat().replace("+00:00", "Z")),
        ]
    )
