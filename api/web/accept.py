"""Which of the forms that are offered a client wants (RFC 9110, 12.5.1)."""

from collections.abc import Iterator, Sequence


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that this Accept header weighs most; the first of them where none is wanted.

    >>> preferred("text/html, text/csv;q=0.9, */*;q=0.1", ["application/json", "text/csv"])
    'text/csv'
    """
    ranges = dict(_ranges(accept))
    return max(offered, key=lambda media: _weight(ranges, media))


def _weight(ranges: dict[str, float], media: str) -> float:
    """What the most specific range says of it."""
    broader = (media, f"{media.partition('/')[0]}/*", "*/*")
    return next((ranges[one] for one in broader if one in ranges), 0.0)


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    for one in accept.split(","):
        media, *parameters = (part.strip().lower() for part in one.split(";"))
        weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
        try:
            yield media, min(max(float(weights[0]), 0.0), 1.0) if weights else 1.0
        except ValueError:
            yield media, 0.0
