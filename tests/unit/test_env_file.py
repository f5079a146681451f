"""Files of KEY=value lines."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dotenv import set_key

from infra import env_file
from infra.env_file import write_env_file
from infra.export.cli import export
from infra.runtime.cli_errors import StopError


def test_a_new_file_has_the_values_and_nothing_else(tmp_path: Path) -> None:
    write_env_file(tmp_path / "addresses", {"A": "1", "B": "two words"})

    assert (tmp_path / "addresses").read_text() == "A=1\nB=two words\n"
    assert [path.name for path in tmp_path.iterdir()] == ["addresses"]


def test_other_lines_of_a_file_stay_and_a_key_has_one_value(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nA=old\n\nOTHER='kept'\nno setting\nA = older\nlast=one")

    write_env_file(path, {"A": "new", "B": "redis://localhost:1/0"})

    assert path.read_text() == (
        "# mine\nA=new\n\nOTHER='kept'\nno setting\nA=new\nlast=one\nB=redis://localhost:1/0\n"
    )


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(path := tmp_path / "pipe")
    with pytest.raises(StopError, match="pipe: is no file"):
        write_env_file(path, {"A": "1"})
    done = CliRunner().invoke(export, ["--to-parquet", str(path)], env={"POSTGRES_URL": "postgresql://h:1/x"})
    assert (done.exit_code, "pipe: is no file" in done.output) == (1, True)
    assert [*tmp_path.iterdir()] == [path]
    assert path.is_fifo()


def test_a_file_that_others_may_not_read_stays_so(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("PASSWORD=secret\n")
    path.chmod(0o600)

    write_env_file(path, {"A": "1"})

    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("left_behind", [False, True])
def test_what_is_written_is_for_its_owner_alone_until_it_has_the_files_permissions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, left_behind: bool
) -> None:
    path, modes, copy = tmp_path / ".env", [], shutil.copyfile

    def copied(source: Path, draft: Path, **options: Any) -> Path:
        copy(source, draft, **options)
        modes.append(draft.stat().st_mode & 0o777)
        return draft

    path.write_text("PASSWORD=secret\n")
    path.chmod(0o640)
    if left_behind:
        (tmp_path / "..env.new").touch(mode=0o644)
    monkeypatch.setattr(shutil, "copyfile", copied)
    write_env_file(path, {"A": "1"})

    assert (modes, path.stat().st_mode & 0o777) == ([0o600], 0o640)
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    write_env_file(tmp_path / "addresses", {"A": "1"})

    assert (tmp_path / "addresses").stat().st_mode & 0o777 == 0o600


def test_a_link_stays_one_and_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    behind, link = tmp_path / "shared" / "addresses", tmp_path / ".env"
    behind.write_text("OTHER=kept\n")
    link.symlink_to(behind)

    write_env_file(link, {"A": "1"})

    assert link.is_symlink()
    assert behind.read_text() == "OTHER=kept\nA=1\n"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [".env"]


def test_a_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".env"
    path.write_text("A=old\n")
    written = iter([set_key])

    def set_one(*arguments: Any, **options: Any) -> None:
        try:
            next(written)(*arguments, **options)
        except StopIteration:
            raise OSError("no space left on device") from None

    monkeypatch.setattr(env_file, "set_key", set_one)
    with pytest.raises(OSError, match="no space"):
        env_file.write_env_file(path, {"A": "new", "B": "new"})

    assert path.read_text() == "A=old\n"
