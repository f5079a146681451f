"""Files of KEY=value lines."""

from pathlib import Path

from infra.env_file import write_env_file


def test_a_new_file_has_the_values_and_nothing_else(tmp_path: Path) -> None:
    write_env_file(tmp_path / "addresses", {"A": "1", "B": "two words"})

    assert (tmp_path / "addresses").read_text() == "A=1\nB=two words\n"
    assert [path.name for path in tmp_path.iterdir()] == ["addresses"]


def test_other_lines_of_a_file_stay_and_a_key_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# mine\nA=old\n\nOTHER=kept\nA = older\n")

    write_env_file(path, {"A": "new"})

    assert path.read_text() == "# mine\n\nOTHER=kept\nA=new\n"
