"""Dead letters as they are written and read, and records of others on their topic."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.dead_letter import DeadLetter, Place, encode_dead_letter
from schemas.scored import Header

SOURCE = Place(3, 17)


@dataclass
class Record:
    """A consumed record."""

    key: bytes | None
    value: bytes | None
    headers: list[Header] = field(default_factory=list)
    partition: int = 3
    offset: int = 5
    timestamp: int = 1_500


def written(key: bytes | None, value: bytes) -> Record:
    return Record(
        *encode_dead_letter(
            key,
            value,
            reason="json",
            detail="no \ud800",
            topic="transactions",
            source=SOURCE,
            source_ms=1_400,
            partitions=4,
        )
    )


@pytest.mark.parametrize("key", [None, b"", b"key"])
def test_what_is_written_is_read(key: bytes | None) -> None:
    letter = DeadLetter.of(written(key, b"\xff"))

    assert (letter.key, letter.value, letter.cut_from) == (key, b"\xff", None)
    assert (letter.reason, letter.detail, letter.source_topic) == ("json", "no ?", "transactions")
    assert (letter.source, letter.source_ms, letter.place) == (SOURCE, 1_400, Place(3, 5))
    assert letter.source_partitions == 4
    assert f"{letter.refused_at:%S.%f}" == "01.500000"


def test_the_start_of_a_message_that_is_too_large_is_kept() -> None:
    letter = DeadLetter.of(written(b"k" * 2_000, b"v" * 2_000_000))

    assert letter.cut_from == 2_000_000
    assert letter.key == b"k" * 1_000
    assert len(letter.value) == 999_000


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [
            ("reason", b"foreign"),
            ("source-timestamp", b"-1"),
            ("source-partition", b"x"),
            ("source-offset", b"1"),
            ("cut-from", b"?"),
        ],
        [("source-partition", b"1"), ("cut-from", b"")],
        [("trace", b"\xff")],
        [("trace", None), ("source-partition", None), ("source-offset", None)],  # Kafka allows it
    ],
)
def test_a_record_of_somebody_else_is_a_foreign_letter(headers: list[Any]) -> None:
    letter = DeadLetter.of(Record(None, None, headers))

    assert (letter.reason, letter.source, letter.value, letter.cut_from) == ("foreign", None, b"", None)
    assert letter.source_ms is None
