"""Merchants' runs of frauds, as notes of a partition: each partition applies every label that is decided."""

from collections.abc import Callable, Collection, Iterable

from schemas.labels import TransactionLabel
from stream_app.detectors.merchant_labels.runs import decode_run, encode_run, with_label
from stream_app.scoring import MerchantRuns

_PREFIX = b"\0merchant:"
Notes = Callable[[list[bytes]], Iterable[bytes | None]]
"""What a partition has under keys that are no users'."""


def run_key(merchant: str) -> bytes:
    """Under it is the merchant's run."""
    return _PREFIX + merchant.encode()


def with_note_of(label: TransactionLabel, note: bytes | None) -> bytes | None:
    """The note of a merchant's run once a label is known; None: there is none still."""
    before = decode_run(note) if note else None
    day = label.txn_date.toordinal()
    run = with_label(before, day, fraud=label.fraud, explained=label.explained)
    return note if run is before or run is None else encode_run(run)


def known_runs(merchants: Collection[str], notes: Notes) -> MerchantRuns:
    """What is known of these merchants, in one read."""
    some = sorted(merchants)
    found = zip(some, notes([run_key(one) for one in some]), strict=True) if some else ()
    runs = {merchant: decode_run(note) for merchant, note in found if note}
    return lambda merchant, _: runs.get(merchant)
