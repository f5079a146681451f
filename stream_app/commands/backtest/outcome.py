"""What a backtest found, as `--json` prints it and the report shows it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from infra.produce.labels import Label
from stream_app.commands.backtest.figures import Summary


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A transaction, what is known of it, and why it was flagged."""

    id: str
    user_id: str
    txn_date: str
    amount: str
    currency: str
    score: float
    fraud: Label = None
    sentence: str = ""
    scenario: str = ""


class RefusedRows(msgspec.Struct, frozen=True):
    """Rows that the worker would refuse for one reason."""

    count: int
    lines: Sequence[int]
    """Of the first few."""
    detail: str
    """Of the first."""


class Source(msgspec.Struct, frozen=True):
    """The history."""

    name: str
    transactions: int
    first: str | None
    last: str | None
    duplicates: int
    revisions: int
    late: int
    """How many are older than one before them."""
    refused: Mapping[str, RefusedRows]
    notes: Sequence[str]


class RanDetector(msgspec.Struct, frozen=True):
    """A detector as it ran."""

    detector: str
    rule: str
    """Stands for version, settings and profile."""
    sentence: str
    threshold: float
    """Scores from here on are flagged."""
    settings: Mapping[str, Any]
    profile: str | None
    """A hash; None where it has none."""


class Found(msgspec.Struct, frozen=True):
    """What one detector, or several that decide together, found."""

    name: str
    detectors: Sequence[RanDetector]
    figures: Summary


class Difference(msgspec.Struct, frozen=True):
    """What is flagged against another set."""

    both: int
    gained: int
    lost: int
    both_frauds: int
    gained_frauds: int
    lost_frauds: int


class Outcome(msgspec.Struct, frozen=True):
    """All of it."""

    source: Source
    found: Found
    against: Found | None
    difference: Difference | None
    examples: Mapping[str, Sequence[Example]]
