"""Times as commands take them."""

from datetime import UTC, date, datetime
from typing import Any

import click


class Moment(click.ParamType):
    """A date, which is its midnight in UTC, or a time with an offset."""

    name = "T"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """As a time in UTC."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
            in_utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no date, as 2026-03-01, nor a time, as 2026-03-01T12:00Z", param, ctx)
        if moment.tzinfo is None and len(value) > len(date.min.isoformat()):
            self.fail(f"{value!r} has no offset from UTC: write Z behind it, or +05:30", param, ctx)
        return in_utc
