"""Made-up transactions for tests: the same seed, the same transactions."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
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

    @property
    def key(self) -> bytes:
        """The record's key."""
        return self.user_id.encode()

    @property
    def value(self) -> bytes:
        """The record's value."""
        return json.dumps(asdict(self)).encode()

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
