"""Which records of the scored topic are revisions."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from schemas.scored import Header, moved_headers, source_headers
from stream_app.sinks.row_changes import Change

USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
DATE, FORMER = datetime(2018, 4, 1, tzinfo=UTC), datetime(2018, 3, 1, tzinfo=UTC)
BY_RULE = source_headers(3, ("rule", b"0a1b2c3d"))(17)


def change(meta_data: dict[str, Any], headers: list[Header]) -> Change:
    row = {"id": USER, "user_id": USER, "txn_date": DATE, "meta_data": meta_data}
    return Change.read(msgspec.json.encode(row), headers)


@pytest.mark.parametrize("number", ["A", 2.5, None, True, [2], 2, -1, 10**30])
def test_a_revision_that_a_producer_named_to_a_former_version_is_none(number: object) -> None:
    assert change({"revision": number, "is_anomaly": False}, source_headers(3)(17)).revises is None


def test_a_revision_has_a_number_from_two_and_the_rule() -> None:
    assert change({"revision": 2}, BY_RULE).revises == (USER, USER, DATE)
    assert change({"revision": 3}, BY_RULE + moved_headers(FORMER)).revises == (USER, USER, FORMER)


@pytest.mark.parametrize("meta_data", [{}, {"revision": 1}, {"revision": True}, {"revision": "A"}])
def test_what_has_no_number_from_two_is_no_revision(meta_data: dict[str, Any]) -> None:
    assert change(meta_data, BY_RULE).revises is None
