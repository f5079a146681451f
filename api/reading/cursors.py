"""Cursors: opaque, tamper-evident positions after a page's last row.

A cursor is `v1.base64url(position || tag)`, where the tag is an HMAC-SHA-256, cut to 18 bytes, over the
format, the position and the user that it is bound to; of before there were formats, without
`v1.` in both. So it stays good when dates or amounts change between two pages, and no other user's page takes
it. Together the two parts are a multiple of three bytes long: base64 then has no spare bits, and a change of
any bit of the text is noticed.

The key is TXNWATCH_CURSOR_KEY. Without it, a random one is made once and kept in the data folder, readable by
its owner only: cursors then outlive a restart and hold between the API processes that share the folder.
Processes on several machines need the setting.
"""

import base64
import errno
import hashlib
import hmac
import logging
import os
import re
import secrets
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

log = logging.getLogger(__name__)

_FORMAT = "v1."
_OF_A_FORMAT = re.compile(r"v[1-9][0-9]{0,2}\.", re.ASCII)
_TAG_BYTES = 18
_SHORT_BYTES = 24
"""Of a date and an id."""
_SHORT_CURSOR = (_SHORT_BYTES + _TAG_BYTES) * 4 // 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KEY_BYTES = 32
_LOWEST_USER = str(uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class RowKey:
    """The place of one row in the order newest first, ties by id and then by user."""

    txn_date: datetime
    id: str
    user_id: str


_BEFORE_ALL = RowKey(datetime.min.replace(tzinfo=UTC), _LOWEST_USER, _LOWEST_USER)


@dataclass(frozen=True, slots=True)
class ChangePlace:
    """The place after a row among those that one transaction wrote, in the order of the keys.

    `walking`: after which key in a walk over all rows, and from which transaction on it goes on afterwards.
    """

    transaction: int
    key: RowKey = _BEFORE_ALL
    walking: bool = False


@dataclass(frozen=True, slots=True)
class Cursors:
    """Cursors written and read with one key."""

    _key: bytes = field(repr=False)

    def of_row(self, user_id: str | None, position: RowKey) -> str:
        """The cursor after this row, for the pages of this user (None: of all users)."""
        packed = _packed(position)
        if user_id is None:  # two zero bytes make the whole a multiple of three
            packed += uuid.UUID(position.user_id).bytes + b"\0\0"
        return self._seal(_rows_of(user_id), packed)

    def to_row(self, user_id: str | None, cursor: str) -> RowKey:
        """The row that this cursor stands after.

        One of all users' pages names no user if it was given out before ids and dates could be shared. What
        follows it are all rows of its id and date: one of them is sent twice, and none is left out.

        Raises:
            ValueError: It is not a cursor of ours for this user.
        """
        short = user_id is not None or len(cursor) == _SHORT_CURSOR
        packed = self._open(_rows_of(user_id), cursor, _SHORT_BYTES if short else 42)
        return _unpacked(packed, user_id or _owner(packed))

    def of_change(self, place: ChangePlace) -> str:
        """The cursor after this change."""
        owner = uuid.UUID(place.key.user_id).bytes
        head = place.transaction.to_bytes(8) + bytes([place.walking])
        return self._seal(b"changes", _packed(place.key) + owner + head + b"\0\0")

    def to_change(self, cursor: str) -> ChangePlace:
        """The place that this cursor stands for.

        Raises:
            ValueError: It is not a cursor of ours for changes.
        """
        packed = self._open(b"changes", cursor, 51)
        return ChangePlace(int.from_bytes(packed[40:48]), _unpacked(packed, _owner(packed)), packed[48] == 1)

    def of_user(self, user_id: str) -> str:
        """The cursor after this user in the list of users."""
        # Two zero bytes make the whole a multiple of three.
        return self._seal(b"users", uuid.UUID(user_id).bytes + b"\0\0")

    def to_user(self, cursor: str) -> str:
        """The user that this cursor stands after.

        Raises:
            ValueError: It is not a cursor of ours.
        """
        return str(uuid.UUID(bytes=self._open(b"users", cursor, 18)[:16]))

    def _seal(self, bound_to: bytes, packed: bytes) -> str:
        tag = self._tag(_FORMAT.encode() + bound_to, packed)
        return _FORMAT + base64.urlsafe_b64encode(packed + tag).decode()

    def _open(self, bound_to: bytes, cursor: str, size: int) -> bytes:
        if cursor.startswith(_FORMAT):
            cursor, bound_to = cursor.removeprefix(_FORMAT), _FORMAT.encode() + bound_to
        elif _OF_A_FORMAT.match(cursor):
            raise ValueError("is a cursor of a later version of this service")
        try:
            raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except ValueError:
            raw = b""
        packed, tag = raw[:size], raw[size:]
        if not hmac.compare_digest(tag, self._tag(bound_to, packed)):
            raise ValueError("is not a cursor of this service for this user")
        return packed

    def _tag(self, bound_to: bytes, packed: bytes) -> bytes:
        message = len(bound_to).to_bytes(2, "big") + bound_to + packed
        return hmac.digest(self._key, message, hashlib.sha256)[:_TAG_BYTES]


def _rows_of(user_id: str | None) -> bytes:
    return b"rows" + (uuid.UUID(user_id).bytes if user_id else b"")


def _packed(position: RowKey) -> bytes:
    micros = (position.txn_date - _EPOCH) // _MICROSECOND
    return micros.to_bytes(8, "big", signed=True) + uuid.UUID(position.id).bytes


def _unpacked(packed: bytes, owner: str) -> RowKey:
    micros = int.from_bytes(packed[:8], "big", signed=True)
    return RowKey(_EPOCH + micros * _MICROSECOND, str(uuid.UUID(bytes=packed[8:24])), owner)


def _owner(packed: bytes) -> str:
    return str(uuid.UUID(bytes=packed[24:40])) if len(packed) > _SHORT_BYTES else _LOWEST_USER


def key_from(setting: str, folder: Path) -> bytes:
    """The setting's key, else the one kept in `folder`, else a random one for this process alone."""
    if setting:
        return hashlib.sha256(setting.encode()).digest()
    try:
        return _kept_key(folder / "api-cursor.key")
    except OSError as error:
        log.warning("cursors end with this process: no key can be kept in %s (%s)", folder, error.strerror)
        return secrets.token_bytes(_KEY_BYTES)


def _kept_key(file: Path) -> bytes:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        _create_whole(file, secrets.token_bytes(_KEY_BYTES))
    key = file.read_bytes()
    if len(key) != _KEY_BYTES:
        raise OSError(errno.EINVAL, f"{file.name} is damaged: remove it")
    return key


def _create_whole(file: Path, content: bytes) -> None:
    """Create the file with all of its content, or leave the one that another process just created."""
    with tempfile.NamedTemporaryFile(dir=file.parent) as temporary, suppress(FileExistsError):  # mode 0600
        temporary.write(content)
        temporary.flush()
        os.link(temporary.name, file)
