import base64
import hmac
import os
import stat
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reading.cursors import Cursors, RowKey, key_from
from tests.support.rows import user

CURSORS = Cursors(b"k" * 32)
WHEN = datetime(2018, 4, 1, 0, 0, 31, 5, tzinfo=UTC)
ROW_KEY = RowKey(WHEN, user(9), user(1))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def formerly(bound_to: bytes, packed: bytes) -> str:
    tag = hmac.digest(b"k" * 32, bound_to + packed, "sha256")[:18]
    return base64.urlsafe_b64encode(packed + tag).decode()


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.uuids(), st.booleans())
def test_a_cursor_brings_its_position_back(when: datetime, row: object, owner: object, bound: bool) -> None:  # noqa: FBT001 - of hypothesis
    position, bound_to = RowKey(when, str(row), str(owner)), str(owner) if bound else None
    assert CURSORS.to_row(bound_to, CURSORS.of_row(bound_to, position)) == position


def test_a_cursor_of_before_rows_had_users_goes_on_with_the_same_id_and_date() -> None:
    """Its row comes twice; another user's row of its id and date would be left out."""
    cursor = formerly(b"\0\4rows", (31_000_005).to_bytes(8, "big", signed=True) + uuid.UUID(user(9)).bytes)
    when = datetime(1970, 1, 1, 0, 0, 31, 5, tzinfo=UTC)
    assert CURSORS.to_row(None, cursor) == RowKey(when, user(9), str(uuid.UUID(int=0)))
    with pytest.raises(ValueError, match="for this user"):
        CURSORS.to_row(user(9), cursor)


def test_cursors_of_before_there_were_formats_are_taken_as_they_were_bound() -> None:
    packed = (31_000_005).to_bytes(8, "big", signed=True) + uuid.UUID(user(9)).bytes
    one, owner = uuid.UUID(user(1)).bytes, uuid.UUID(user(2)).bytes
    when = datetime(1970, 1, 1, 0, 0, 31, 5, tzinfo=UTC)
    of_one, of_all = formerly(b"\0\x14rows" + one, packed), formerly(b"\0\4rows", packed + owner + b"\0\0")
    assert CURSORS.to_row(user(1), of_one) == RowKey(when, user(9), user(1))
    assert CURSORS.to_row(None, of_all) == RowKey(when, user(9), user(2))
    assert CURSORS.to_user(formerly(b"\0\5users", one + b"\0\0")) == user(1)
    with pytest.raises(ValueError, match="is not a cursor"):
        CURSORS.to_row(user(1), f"v1.{of_one}")


def test_a_cursor_says_its_format_and_one_of_a_later_is_not_misread() -> None:
    cursor = CURSORS.of_row(user(1), ROW_KEY)
    assert cursor.startswith("v1.")
    with pytest.raises(ValueError, match="is a cursor of a later version of this service"):
        CURSORS.to_row(user(1), cursor.replace("v1.", "v2."))
    with pytest.raises(ValueError, match="is not a cursor"):
        CURSORS.to_row(user(1), cursor.removeprefix("v1."))


def test_no_character_can_be_changed_unseen() -> None:
    cursor = CURSORS.of_row(user(1), ROW_KEY)
    for place, was in enumerate(cursor):
        for character in set(ALPHABET) - {was}:
            with pytest.raises(ValueError, match=r"is (not )?a cursor"):
                CURSORS.to_row(user(1), cursor[:place] + character + cursor[place + 1 :])


@pytest.mark.parametrize("cut", [0, 1, 4, 24, 52])
def test_a_shortened_cursor_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="is not a cursor"):
        CURSORS.to_row(user(1), CURSORS.of_row(user(1), ROW_KEY)[:cut])


def test_a_cursor_is_one_users() -> None:
    cursor = CURSORS.of_row(user(1), ROW_KEY)
    for other in (user(2), None):
        with pytest.raises(ValueError, match="for this user"):
            CURSORS.to_row(other, cursor)


def test_a_cursor_of_one_list_is_none_of_another() -> None:
    with pytest.raises(ValueError, match="is not a cursor"):
        CURSORS.to_user(CURSORS.of_row(None, ROW_KEY))
    assert CURSORS.to_user(CURSORS.of_user(user(3))) == user(3)


def test_another_key_reads_none_of_them() -> None:
    with pytest.raises(ValueError, match="is not a cursor"):
        Cursors(b"o" * 32).to_row(user(1), CURSORS.of_row(user(1), ROW_KEY))


def test_a_cursor_tells_nothing_of_the_key() -> None:
    assert b"k" * 4 not in base64.urlsafe_b64decode(CURSORS.of_row(user(1), ROW_KEY).removeprefix("v1."))


def test_the_setting_is_the_key(tmp_path: Path) -> None:
    assert key_from("a", tmp_path / "a") == key_from("a", tmp_path / "b") != key_from("b", tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_without_a_setting_the_key_is_random_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    first = key_from("", folder)
    assert len(first) == 32
    assert key_from("", folder) == first != key_from("", tmp_path / "other")
    [file] = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_without_a_place_to_keep_it_the_key_is_this_processes_alone(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert key_from("", blocked) != key_from("", blocked)


def test_a_damaged_key_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "api-cursor.key").touch()
    assert len(key_from("", tmp_path)) == 32


def test_two_processes_that_start_together_keep_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: str, target: Path) -> None:
        monkeypatch.setattr(os, "link", link)
        assert key_from("", tmp_path)  # the other one, in between
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert key_from("", tmp_path) == key_from("", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
