"""What a mapping makes of a record."""

from datetime import datetime

import msgspec


class Unmapped(Exception):  # noqa: N818 - a verdict on the record, as Refused is
    """A record does not map: `reason` is a code for counting, a field's or `mapping`, `detail` for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Mapped(msgspec.Struct, frozen=True, gc=False):
    """A record for the topic of transactions, and its date."""

    key: bytes
    """The text of `user_id`."""
    value: bytes
    """JSON that the decoder takes."""
    date: datetime
