"""Features of users made of their rows, in place of what was kept of them. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from schemas.rules.features import Feature
from schemas.transaction import Transaction
from stream_app.scoring.features import Features
from stream_app.scoring.rules.applied import form_of
from stream_app.scoring.states import PAST, Kept, joined, parts_of
from stream_app.window import ANY_CURRENCY, Window


class Filling:
    """Takes rows of these users in, by user and date, and has their windows know them.

    Rows of one date are in the order of their ids, so that it comes to the same whenever it is done.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        windows: Mapping[str, Window],
        teaches: Callable[[Transaction], bool],
    ) -> None:
        self._features, self._windows, self._teaches = Features(features), windows, teaches
        self._tag = Kept(PAST, form_of(self._features)).tag
        self._states: dict[tuple[str, str], bytes] = {}

    def add(self, rows: Iterable[Transaction]) -> None:
        """Learn from rows."""
        learn, states, fresh = self._features.learn, self._states, self._features.fresh
        for row in filter(self._teaches, rows):
            has_any = self._windows[row.user_id].currency == ANY_CURRENCY
            key = row.user_id, ANY_CURRENCY if has_any else row.currency.upper()
            states[key] = learn(states.get(key, fresh), row)

    def finish(self) -> None:
        """Put what was learnt into the windows."""
        for user, window in self._windows.items():
            window.restate(partial(self._stated, user))

    def _stated(self, user: str, currency: str, state: bytes) -> bytes:
        parts, fresh = parts_of(state), self._features.fresh
        filled = self._states.get((user, currency), fresh)
        try:
            past = self._features.with_filled(parts.get(self._tag, fresh), filled)
        except (ValueError, IndexError):  # what was kept is damaged
            past = filled
        return joined([tag + data for tag, data in (parts | {self._tag: past}).items() if tag])
