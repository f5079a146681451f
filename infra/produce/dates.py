"""Dates as files have them, which decoders would not take."""

import re

_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}(?:\.[0-9]+)?"
_NO_OFFSET = re.compile(_TIME)
# As Postgres writes it: `2024-05-01 10:00:00+00`.
_HOURS_OFFSET = re.compile(_TIME + "[+-][0-9]{2}")


def date_text(text: str, *, assume_utc: bool) -> str:
    """A date with its offset in full, as decoders take it; the same where it can be no such date."""
    if _HOURS_OFFSET.fullmatch(text):
        return f"{text}:00"
    return f"{text}Z" if assume_utc and _NO_OFFSET.fullmatch(text) else text
