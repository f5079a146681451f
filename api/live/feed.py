"""The live feed of one topic: who listens to it, and what they are sent.

Each record is looked at once: its listeners are found by its key, its frame is made once and shared. How the
records come is in follower.py, how a client comes to the feed in catch_up.py.
"""

import asyncio
from collections.abc import Iterable, Sequence
from urllib.parse import urlencode

from aiokafka import ConsumerRecord

from api.live.broker import Broker
from api.live.event_id import EventId, Missing
from api.live.follower import Follower
from api.live.frames import event, named_event
from api.live.listeners import Frame, Listeners, Subscription
from api.live.verdicts import VerdictWaiters
from api.metrics import Metrics
from api.settings import Settings

_FRAMES_AT_ONCE = 2000
"""After this many frames are written, other tasks run: a large batch would hold them up."""


class LiveFeed:
    """Sends every record of one topic to the clients that listen to its key, or to all keys.

    `pages` is the route that has the topic's rows.
    """

    def __init__(
        self, topic: str, broker: Broker, settings: Settings, metrics: Metrics, *, pages: str
    ) -> None:
        self.follower = Follower(topic, broker, settings, publish=self._publish, report_gap=self._report_gap)
        self._pages = pages
        self._most_unsent = settings.buffer_bytes // 4
        self._count_sent = metrics.events.labels(topic).inc
        metrics.clients.labels(topic).set_function(lambda: self.follower.clients)
        self.listeners = Listeners()
        """Who is sent what is new."""
        self.verdicts = VerdictWaiters()
        """Who waits for the verdict on a transaction."""

    def gap(self, point: EventId, missing: Sequence[Missing], key: bytes | None) -> bytes:
        """The frame that names what is missing, and the query that has it.

        Offsets say nothing of dates, late transactions are dated at any time before, and how far ahead others
        are is a setting of the worker's: so the range is open at both ends. Its pages come newest first, and
        can be left at the first known row.
        """
        query = {"user_id": key.decode()} if key else {}
        query |= {"from_date": "0001-01-01"}
        data = {"topic": self.follower.name, "missing": missing, "fetch": f"{self._pages}?{urlencode(query)}"}
        return named_event("gap", data, str(point))

    def _report_gap(self, point: EventId, missing: Sequence[Missing]) -> None:
        for subscription in self.listeners.everyone():
            self._send([subscription], Frame(self.gap(point, missing, subscription.key)))

    async def _publish(self, records: Iterable[ConsumerRecord]) -> None:
        """Send each record to its listeners.

        Other tasks run now and then: a large fetch would hold them up, and overflow the buffer of any client.
        """
        unsent, sent = 0, 0
        for record in records:
            if record.key in self.verdicts.keys:
                self.verdicts.hear(record)
            listeners = self.listeners.of(record.key)
            if not listeners or record.value is None:
                continue
            frame = Frame(event(record.value, self.follower.event_id_text))
            self._send(listeners, frame)
            unsent, sent = unsent + len(frame.raw), sent + len(listeners)
            if unsent > self._most_unsent or sent > _FRAMES_AT_ONCE:
                await asyncio.sleep(0)
                unsent, sent = 0, 0

    def _send(self, listeners: Iterable[Subscription], frame: Frame) -> None:
        sent = 0
        for subscription in listeners:
            if subscription.push(frame):
                sent += 1
            else:
                self.listeners.discard(subscription)
        self._count_sent(sent)
