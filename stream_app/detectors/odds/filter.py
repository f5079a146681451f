"""What an amount says of a card's risk, and what is known after it: pure, and in integers alone."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from schemas.money import parse_amount
from stream_app.detectors.odds.densities import CELLS, NAT, STEPS
from stream_app.detectors.odds.profile import Profile, exact
from stream_app.detectors.odds.state import MOST_TAUGHT, State
from stream_app.detectors.odds.table import (
    DECAY_BITS,
    MOST_UPDATE,
    PRIOR_SHIFT,
    RISK,
    RISK_BITS,
    UPDATE_BITS,
    UPDATE_SHIFT,
    Row,
    decays,
    odds,
    priors,
    updates,
)

SUSPICIOUS: Final = 2 * NAT
"""Log odds from which on an amount does not teach: odds of 7 to 1. Not the threshold, so that the scores stay
as they are when the threshold is moved."""
ABOVE_LIMIT: Final = 2048 * NAT
"""The score of an amount above its currency's limit, to which its ratio is added: these rank, too."""

# A thief is found out some day: a risk that is nearly certain would make the ordinary amounts after it
# frauds.
_MOST_RISK = RISK * 9 // 10
# Where a currency's mean is unknown, below 1.00 on average nothing stands out: a user's card checks of 0.00.
_LEAST_MEAN = 100
_MOST_RATIO = 1 << 40
# A habit comes again after a week at the earliest, and each month at the latest.
_HABIT_DAYS, _FORGOTTEN_DAYS = 7, 40
_MARKS = 65_521


class Known(NamedTuple):
    """What the profile says of a currency, in hundredths; a mean of 0: nothing."""

    mean: int
    limit: int | None


class Expected(NamedTuple):
    """What was expected of a user."""

    total: int
    """The sum of the amounts that the user's mean comes from, in hundredths."""
    number: int
    """How many these are, the population's mean among them."""
    taught: int
    """How many of them are the user's own."""
    row: Row
    """The log odds of amounts by their ratio."""


Weighed = tuple[int, int, int]
"""What is to be said of an amount: the log odds of a fraud in 1/512 nat (or above all of them), those of the
amount alone, and how likely the card was stolen before it, in 2^-20."""

_UNKNOWN = Known(0, None)


class Filter:
    """The filter with a profile's constants; after `row` suspicious amounts in a row it begins afresh."""

    def __init__(self, profile: Profile, row: int) -> None:
        share, self._row = exact(profile.share), row
        self._base = round(exact(profile.base) * RISK)
        rows = odds(exact(profile.factor))
        self._shrunk, self._own = _for_all(rows.shrunk), _for_all(rows.own)
        self._priors, self._updates, self._decays = priors(share), updates(share), decays(profile.hours)
        self._forgotten = len(self._decays)
        self._currencies = {code: _known(one.mean, one.limit) for code, one in profile.currencies.items()}
        self._as_written: dict[str, Known] = {}  # 52^3 codes of three letters at the most

    def known(self, currency: str) -> Known:
        """What the profile says of the currency, in capitals or not."""
        found = self._as_written.get(currency)
        if found is None:
            found = self._as_written[currency] = self._currencies.get(currency.upper(), _UNKNOWN)
        return found

    def expected(self, state: State, known: Known) -> Expected:
        """What is expected of the user; of one of whom nothing is known, 0.01 in one amount."""
        taught = state.taught
        if known.mean:
            return Expected(state.total + known.mean, taught + 1, taught, self._shrunk[taught])
        total = max(state.total, taught * _LEAST_MEAN, 1)
        return Expected(total, max(taught, 1), taught, self._own[taught])

    def risk(self, state: State) -> int:
        """How likely the card is stolen right after the user's last transaction."""
        return state.risk if state.hour else self._base

    def least(self, state: State, risk: int, known: Known, threshold: int) -> int | None:
        """The least amount whose score reaches the threshold, at this risk; None: none does.

        An amount that is a habit may be more and not reach it.
        """
        total, number, taught, row = self.expected(state, known)
        units, limit = number * STEPS, known.limit
        at = bisect_left(row, threshold - self._priors[risk >> PRIOR_SHIFT])
        start = -(-at * total // units) if at < CELLS else None
        if limit is None or (start is not None and start <= limit):
            return start
        if (over := threshold - ABOVE_LIMIT) <= 0:
            return limit + 1
        can_be = over <= _MOST_RATIO and (known.mean or taught)
        return max(limit + 1, -(-over * total // units)) if can_be else None

    def weigh(self, state: State, amount: int, hour: int, known: Known) -> Weighed:
        """What is to be said of an amount at this hour, before it has taught."""
        mean, limit = known
        taught, risk, past = state.taught, state.risk, hour - state.hour
        if past > 0:
            left = self._decays[past] if past < self._forgotten else 0
            risk = self._base + ((risk - self._base) * left >> DECAY_BITS)
        if mean:
            ratio = amount * (taught + 1) * STEPS // (state.total + mean)
            row = self._shrunk[taught]
        else:
            ratio = amount * taught * STEPS // (max(state.total, taught * _LEAST_MEAN) or 1)
            row = self._own[taught]
        its = row[ratio] if ratio < CELLS else row[-1]
        if its > 0 and state.mark and is_habit(state, amount, hour):
            its = 0
        if limit is not None and amount > limit:
            return ABOVE_LIMIT + min(ratio, _MOST_RATIO), its, risk
        return its + self._priors[risk >> PRIOR_SHIFT], its, risk

    def learn(self, state: State, amount: int, hour: int, known: Known, weighed: Weighed) -> State:
        """The state after the amount, of which that is to be said."""
        score, its, risk = weighed
        latest = hour if hour > state.hour else state.hour  # noqa: FURB136 - max() takes four times as long
        if not amount and known.mean:  # a card check says nothing of what the user spends
            return replace(state, hour=latest, risk=risk)
        at = its >> UPDATE_SHIFT
        stolen = risk * self._updates[at if at < MOST_UPDATE else MOST_UPDATE]  # noqa: FURB136 - see above
        risk = (stolen << RISK_BITS) // (stolen + ((RISK - risk) << UPDATE_BITS))
        if score >= SUSPICIOUS:
            return self._suspicious(state, amount, latest, min(risk, _MOST_RISK))
        if state.mark and is_habit(state, amount, hour):
            return replace(state, hour=latest, marked=latest // 24)
        taught, total = state.taught, state.total
        if taught == MOST_TAUGHT:
            taught, total = taught - 1, total - total // taught
        return State(taught + 1, total + amount, risk, latest, 0, state.mark, state.marked)

    def _suspicious(self, state: State, amount: int, hour: int, risk: int) -> State:
        """Teach nothing, unless there were too many in a row: the user's life has changed."""
        day, mark = hour // 24, amount % _MARKS + 1
        marked = state.marked
        if mark != state.mark:
            if state.mark and day - marked < _FORGOTTEN_DAYS:
                mark = state.mark
            else:
                marked = day
        if state.row + 1 >= self._row:
            return State(0, 0, self._base, hour, 0, mark, marked)
        return State(state.taught, state.total, risk, hour, state.row + 1, mark, marked)


def is_habit(state: State, amount: int, hour: int) -> bool:
    """Whether the user spent this very amount a week ago or longer: a rent, not a thief's."""
    return state.mark == amount % _MARKS + 1 and hour // 24 - state.marked >= _HABIT_DAYS


def _for_all(rows: Sequence[Row]) -> Sequence[Row]:
    """A row for each number of amounts that may have taught, so that none has to be looked for."""
    return [*rows, *[rows[-1]] * (MOST_TAUGHT + 1 - len(rows))]


def _known(mean: str, limit: str | None) -> Known:
    return Known(parse_amount(mean), None if limit is None else parse_amount(limit))
