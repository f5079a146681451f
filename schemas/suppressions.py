"""Suppressions: flags of a user, of a rule, or of both are watched instead, before a date."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

MOST_SUPPRESSIONS: Final = 2_000
"""That are not ended: all are in one record of a partition's changelog."""
_UUID = "^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})?$"


class Suppression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is watched, and until when: the body of a decision, in place of one of the same user and rule."""

    until: Annotated[datetime, msgspec.Meta(tz=True)] | None
    """By the dates of transactions; None: it is ended."""
    user_id: Annotated[str, msgspec.Meta(pattern=_UUID)] = ""
    """In small letters; empty: of every user."""
    rule: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """Empty: of every rule and detector."""
