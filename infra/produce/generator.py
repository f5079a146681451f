"""Made-up traffic: users who spend around an amount of their own, and now and then far above it."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import accumulate, islice
from random import Random
from uuid import UUID

import msgspec

from infra.produce.rows import ProducerRecord
from schemas.money import amount_text

MAX_USERS = 1_000_000
_CURRENCIES = ("EUR", "EUR", "USD", "GBP", "INR")
_STATUSES = ("paid",) * 18 + ("pending", "refunded")
_CHANNELS = ("web", "app", "pos")
_HOMES = {"EUR": "DE", "USD": "US", "GBP": "GB", "INR": "IN"}
_ABROAD = 0.05
_MERCHANTS = 500
_TYPICAL_AMOUNT = 35.0  # of the middle user; the middle two thirds are between 15 and 80
_BETWEEN_USERS = 0.85
_WITHIN_USER = 0.35  # five times the mean is then 4.8 standard deviations away: flags are the injected ones
_INJECTED = (8.0, 40.0)
# The user at a rank has a share of 1 / (this + rank): busy users make most of the traffic, so that windows
# also fill when there are many users.
_EVENNESS = 10


class _User(msgspec.Struct, frozen=True, gc=False):
    user_id: str
    key: bytes
    scale: float
    currency: str


_NOW = partial(datetime.now, UTC)
_ENCODE = msgspec.json.Encoder().encode


class Traffic:
    """A reproducible stream of transactions: the same seed and users give the same ones, but for the dates.

    Args:
        users: How many users there are.
        seed: Decides everything but the dates.
        injected: The share of transactions of 8 to 40 times the user's typical amount. They carry
            `"injected": true` in their `meta_data`.
        full: Each has a merchant, a card and a country, and its channel beside these; all else is the same.
    """

    def __init__(self, users: int, seed: int, injected: float = 0.01, *, full: bool = False) -> None:
        self._random = Random(seed)  # noqa: S311 - has to be reproducible
        self._more = Random(f"{seed} in full") if full else None  # noqa: S311 - the same
        self._injected = injected
        self._users = [self._user() for _ in range(users)]
        self._weights = list(accumulate(1 / (_EVENNESS + rank) for rank in range(users)))

    def records(self, dates: Iterator[datetime]) -> Iterator[ProducerRecord]:
        """One transaction for each date."""
        random = self._random
        for date in dates:
            user = random.choices(self._users, cum_weights=self._weights)[0]
            amount, meta = self._spend(user)
            message = {
                "id": self._uuid(),
                "user_id": user.user_id,
                "amount": amount,
                "currency": user.currency,
                "txn_date": date,
                "status": random.choice(_STATUSES),
                "meta_data": meta,
            }
            if self._more:
                message |= self._full(user, self._more)
                message["channel"] = meta.pop("channel")
            yield ProducerRecord(user.key, _ENCODE(message))

    def _full(self, user: _User, random: Random) -> dict[str, str]:
        abroad = random.random() < _ABROAD
        return {
            "merchant_id": f"m-{int(_MERCHANTS ** random.random()):03}",  # a few have most of it
            "card_id": f"c-{user.user_id[:8]}",
            "country": random.choice([*_HOMES.values()]) if abroad else _HOMES[user.currency],
        }

    def _spend(self, user: _User) -> tuple[str, dict[str, str | bool]]:
        random = self._random
        amount = user.scale * random.lognormvariate(0, _WITHIN_USER)
        meta: dict[str, str | bool] = {"channel": random.choice(_CHANNELS)}
        if random.random() < self._injected:
            amount = user.scale * random.uniform(*_INJECTED)
            meta["injected"] = True
        return amount_text(round(amount * 100)), meta

    def _user(self) -> _User:
        user_id = self._uuid()
        scale = self._random.lognormvariate(math.log(_TYPICAL_AMOUNT), _BETWEEN_USERS)
        return _User(user_id, user_id.encode(), scale, self._random.choice(_CURRENCIES))

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def live_dates(count: int | None, now: Callable[[], datetime] = _NOW) -> Iterator[datetime]:
    """The time at which each is asked for; without an end if there is no count."""
    return islice(iter(now, None), count)


def past_dates(count: int, span: timedelta, now: Callable[[], datetime] = _NOW) -> Iterator[datetime]:
    """Times at even distances over the span that ends now."""
    end = now()
    return (end - span * ((count - number) / count) for number in range(1, count + 1))
