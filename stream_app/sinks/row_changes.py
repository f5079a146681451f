"""What a batch comes to in the table of rows: new ones, and those that revisions replace or move.

A row is known by id, date and user, so a revision of another date takes the former row's place under a key of
its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self

import msgspec

from schemas.scored import FIRST_REVISION, RULE_HEADER, Header, moved_from, source_of
from schemas.transaction import Transaction
from stream_app.scoring import Verdict

Key = tuple[str, str, datetime]
"""Id, user and date."""


class Change(NamedTuple):
    """One verdict's row, as JSON."""

    key: Key
    row: bytes
    """With its `source_offset`."""
    revises: Key | None
    """The key that the row had before, of a revision."""

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        """The change of a verdict."""
        one, row = verdict.transaction, placed(verdict.encoded()[0], verdict.offset)
        return cls._of(one, row, verdict.moved_from, is_revision=verdict.revision > 0)

    @classmethod
    def read(cls, row: bytes, headers: Sequence[Header]) -> Self:
        """The change of a record of the scored topic, whose headers name its source."""
        one, (_, offset) = _READ(row), source_of(headers) or (0, -1)
        number = one.meta_data.revision
        # Records without the header are a former version's: what they have there, the producer has said.
        is_revision = RULE_HEADER in dict(headers) and type(number) is int and number >= FIRST_REVISION
        return cls._of(one, placed(row, offset), moved_from(headers), is_revision=is_revision)

    @classmethod
    def _of(
        cls, one: "Transaction | _Published", row: bytes, before: datetime | None, *, is_revision: bool
    ) -> Self:
        former = (one.id, one.user_id, before or one.txn_date) if is_revision else None
        return cls((one.id, one.user_id, one.txn_date), row, former)


def placed(row: bytes, offset: int) -> bytes:
    """A row in JSON with the offset in the source that it came from.

    >>> placed(b'{"status":"paid"}', 17)
    b'{"status":"paid","source_offset":17}'
    """
    return b'%b,"source_offset":%d}' % (row[:-1], offset)


class _Meta(msgspec.Struct):
    revision: Any = None


class _Published(msgspec.Struct):
    id: str
    user_id: str
    txn_date: datetime
    meta_data: _Meta


_READ = msgspec.json.Decoder(_Published).decode


@dataclass(slots=True)
class RowChanges:
    """Changes in their order, brought down to rows that are inserted, then deleted, then put in any case."""

    deleted: dict[Key, None] = field(default_factory=dict)
    put: dict[Key, bytes] = field(default_factory=dict)
    passed: list[bytes] = field(default_factory=list)
    """Rows that were put in the place of others, and replaced themselves."""

    def add(self, change: Change) -> bool:
        """Take the next one in. Whether its row is to be inserted, unless there is one of its key already."""
        if change.revises is None and change.key not in self.deleted:
            return True
        if change.revises not in (None, change.key):
            self.deleted[change.revises] = None
        passing = {change.revises or change.key, change.key} & self.put.keys()
        self.passed += [self.put.pop(key) for key in passing]
        self.deleted.pop(change.key, None)
        self.put[change.key] = change.row
        return False

    def as_json(self) -> tuple[str, str, str]:
        """Rows that are put, keys that are deleted, rows that have passed, as `revise.sql` takes them."""
        keys = [{"id": key[0], "user_id": key[1], "txn_date": key[2]} for key in self.deleted]
        return (
            json_array([*self.put.values()]),
            msgspec.json.encode(keys).decode(),
            json_array(self.passed),
        )


def json_array(rows: Sequence[bytes]) -> str:
    """Rows in JSON as one."""
    return f"[{b','.join(rows).decode()}]"
