"""Lines as they are: for trying what becomes of messages that are none."""

from collections.abc import Iterable

import msgspec

from infra.produce.files import MAX_LINE, is_cut
from infra.produce.rows import ProducerRecord, RejectedRow, Source


class _UserId(msgspec.Struct):
    user_id: str


_USER_ID = msgspec.json.Decoder(_UserId).decode


def read_unchanged(lines: Iterable[bytes]) -> Source:
    """Each line without its end as a record, valid or not; its `user_id`, if it can be read, is the key."""
    for number, line in enumerate(lines, start=1):
        if is_cut(line):
            yield RejectedRow(number, "size", f"more than {MAX_LINE} bytes, which no broker takes by default")
        else:
            value = line.removesuffix(b"\n").removesuffix(b"\r")
            yield ProducerRecord(_user_id(value), value)


def _user_id(value: bytes) -> bytes | None:
    try:
        return _USER_ID(value).user_id.encode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
