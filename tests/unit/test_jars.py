"""What is done about downloads of Kafka's jars that were cut off."""

import zipfile
from pathlib import Path

from infra.embedded.jars import remove_broken


def test_files_that_were_fetched_in_part_are_removed_and_whole_ones_stay(tmp_path: Path) -> None:
    whole_jar, cut_jar = tmp_path / "a" / "whole.jar", tmp_path / "a" / "cut.jar"
    whole_pom, cut_pom, empty_pom = (tmp_path / f"{name}.pom" for name in ("whole", "cut", "empty"))
    whole_jar.parent.mkdir()
    with zipfile.ZipFile(whole_jar, "w") as jar:
        jar.writestr("Main.class", b"x" * 1000)
    cut_jar.write_bytes(whole_jar.read_bytes()[:-100])
    whole_pom.write_text("<project><name>whole</name></project>\n")
    cut_pom.write_text("<project><name>cu")
    empty_pom.touch()

    removed = remove_broken(tmp_path)

    assert set(removed) == {cut_jar, cut_pom, empty_pom}
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {whole_jar, whole_pom}


def test_a_whole_repository_loses_nothing(tmp_path: Path) -> None:
    assert remove_broken(tmp_path) == []
