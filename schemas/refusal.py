"""Messages that are refused, and why."""

from typing import Final, Literal, get_args

Reason = Literal[
    "size",
    "json",
    "text",
    "id",
    "user_id",
    "key",
    "amount",
    "txn_date",
    "currency",
    "status",
    "meta_data",
    "merchant_id",
    "card_id",
    "country",
    "channel",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)
"""All reasons, in the order in which they are checked."""

_EXCERPT = 60


class Refused(ValueError):  # noqa: N818 - a verdict on the input, and the term of the contract
    """A message that is not a valid transaction: `reason` is a code for counting, `detail` for people."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


def excerpt(text: str | bytes) -> str:
    """The beginning of what a producer sent: about 60 printable ASCII characters."""
    shown = ascii(text[:_EXCERPT])
    return shown if len(shown) <= _EXCERPT else shown[:_EXCERPT] + "..."
