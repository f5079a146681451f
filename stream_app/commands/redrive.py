"""Refused messages sent to the input topic again, once what was wrong is mended.

Nothing is taken out of the dead-letter topic. A message that is sent again twice is stored once, as rows are
known by id and date; it is also scored once as long as it is among its user's last 20.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import msgspec
from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from infra.runtime.kafka import client_options
from schemas.dead_letter import DeadLetter
from schemas.transaction import Decoder, Refused
from stream_app.settings import Settings


class NotSentError(Exception):
    """The message would be refused again; the text says why."""


@dataclass(frozen=True, slots=True)
class Mending:
    """What is changed in a message before it is sent again."""

    value: bytes | None = None
    """Put in the place of the value."""
    rekey: bool = False
    """Whether the key becomes the lower-case text of the value's `user_id`, which it has to be."""

    def apply(self, letter: DeadLetter) -> DeadLetter:
        """The letter as it is to be sent; NotSentError for one whose `user_id` cannot be told."""
        mended = letter if self.value is None else replace(letter, value=self.value, cut_from=None)
        return replace(mended, key=_user_of(mended.value)) if self.rekey else mended


class Redriver:
    """Sends letters to the input topic, from entering to leaving the context."""

    def __init__(self, settings: Settings) -> None:
        self._topic = settings.transactions_topic
        self._decoder = Decoder(settings.max_message_bytes, timedelta(hours=settings.max_ahead_hours))
        self._producer = AIOKafkaProducer(
            **client_options(settings, "redrive"),
            enable_idempotence=True,
            acks="all",
            max_request_size=1 << 20,
        )

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def send(self, letter: DeadLetter, *, unchecked: bool = False, dry_run: bool = False) -> None:
        """Send a letter that would be accepted now, or any when `unchecked`; the broker has it on return.

        A `dry_run` does all but the sending.

        Raises:
            NotSentError: It would be refused, or is not here whole.
            KafkaError: The broker did not take it.
        """
        if letter.cut_from is not None:
            whole = f"{letter.source_topic} {letter.source}"
            raise NotSentError(f"only the start of its {letter.cut_from} bytes was kept: see {whole}")
        if not unchecked:
            self._check(letter)
        if dry_run:
            return
        headers = [("redriven-from", str(letter.place).encode())]
        await self._producer.send_and_wait(self._topic, letter.value, key=letter.key, headers=headers)

    def _check(self, letter: DeadLetter) -> None:
        now = int(datetime.now(UTC).timestamp() * 1000)
        try:
            self._decoder.decode(letter.value, letter.key, now)
        except Refused as refused:
            raise NotSentError(f"still refused: {refused}") from None


def _user_of(value: bytes) -> bytes:
    try:
        return str(msgspec.json.decode(value)["user_id"]).lower().encode()
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise NotSentError("its user_id cannot be told") from None
