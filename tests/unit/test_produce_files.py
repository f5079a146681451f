"""Files as lines."""

import gzip
import os
from pathlib import Path

import pytest

from infra.produce.files import MAX_LINE, InputError, is_cut, open_input

LINES = [b"first\n", b"\n", b"second\r\n", b"last"]


@pytest.mark.parametrize("name", ["plain.csv", "plain.csv.gz"])
def test_a_file_is_read_by_its_content_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"".join(LINES))
    with open_input(path) as plain:
        assert list(plain.lines()) == LINES
    path.write_bytes(gzip.compress(b"".join(LINES)))
    with open_input(path) as zipped:
        assert list(zipped.lines()) == LINES


def test_gzip_files_one_after_the_other_are_one(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"a\nb") + gzip.compress(b"c\n"))
    with open_input(path) as opened:
        assert list(opened.lines()) == [b"a\n", b"bc\n"]


@pytest.mark.parametrize("zipped", [False, True])
def test_the_fraction_read_goes_from_nothing_to_all_of_what_is_on_the_disk(
    tmp_path: Path, *, zipped: bool
) -> None:
    path = tmp_path / "file"
    content = b"".join(os.urandom(50_000).hex().encode() + b"\n" for _ in range(30))
    path.write_bytes(gzip.compress(content) if zipped else content)
    with open_input(path) as opened:
        assert not opened.waits
        fractions = [opened.fraction() or 0 for _ in opened.lines()]
        assert 0 < fractions[0] < fractions[-1] == 1


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    with open_input(path) as opened:
        assert list(opened.lines()) == []


def test_of_a_line_that_is_too_long_only_the_beginning_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"a\n" + b"x" * (3 * MAX_LINE) + b"\n" + b"b\n" + b"y" * MAX_LINE)
    with open_input(path) as opened:
        lines = list(opened.lines())
    assert lines == [b"a\n", b"x" * MAX_LINE, b"b\n", b"y" * MAX_LINE]
    assert [is_cut(line) for line in lines] == [False, True, False, True]


@pytest.mark.parametrize("end", [b"", b"?" * 200], ids=["cut off", "overwritten"])
def test_a_damaged_gzip_file_is_an_error_after_lines_that_are_good(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "damaged.gz"
    content = [os.urandom(40).hex().encode() + b"\n" for _ in range(20_000)]
    path.write_bytes(gzip.compress(b"".join(content))[:-200] + end)
    read: list[bytes] = []
    with open_input(path) as opened, pytest.raises(InputError, match="cannot be read after line"):
        # Not list(): what came before the damage counts.
        read.extend(opened.lines())
    assert 0 < len(read) < len(content)
    assert read == content[: len(read)]


def test_a_pipe_is_read_although_it_has_no_size(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opened for both, so that neither end waits for the other.
    keeper = os.open(pipe, os.O_RDWR)
    os.write(keeper, b"a\nb\n")
    with open_input(pipe) as opened:
        os.close(keeper)
        assert opened.waits
        assert opened.fraction() is None
        assert list(opened.lines()) == [b"a\n", b"b\n"]


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"), open_input(tmp_path / "absent"):
        pass
    with pytest.raises(InputError, match="Is a directory"), open_input(tmp_path):
        pass
