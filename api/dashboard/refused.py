"""What the topic of refused messages holds: how many for which reason, and the last few."""

from collections import Counter, deque

from aiokafka import ConsumerRecord

from api.dashboard.answers import Refused, RefusedPage
from schemas.dead_letter import DeadLetter

_LAST = 20
_SHOWN = 300


class Refusals:
    """Counts by reason; `complete` unless the reading began after the topic's beginning."""

    def __init__(self, *, complete: bool) -> None:
        self._complete = complete
        self._reasons: Counter[str] = Counter()
        self._last: deque[Refused] = deque(maxlen=_LAST)

    def add(self, record: ConsumerRecord) -> None:
        """Count one refused message."""
        letter = DeadLetter.of(record)
        refused = Refused(
            at=letter.refused_ms,
            reason=letter.reason[:_SHOWN],
            detail=letter.detail[:_SHOWN],
            key=_legible(letter.key),
            value=_legible(letter.value),
            partition=letter.place.partition,
            offset=letter.place.offset,
        )
        self._reasons[refused.reason] += 1
        self._last.append(refused)

    def page(self) -> RefusedPage:
        """All of it, the commonest reason and the newest message first."""
        return RefusedPage(
            total=self._reasons.total(),
            complete=self._complete,
            reasons=dict(self._reasons.most_common()),
            last=sorted(self._last, key=lambda refused: (refused.at, refused.offset), reverse=True),
        )


def _legible(value: bytes | None) -> str:
    return (value or b"")[:_SHOWN].decode(errors="replace")
