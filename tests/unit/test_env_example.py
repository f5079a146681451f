""".env.example: every setting with its default and a word on it."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from dotenv import dotenv_values

from infra.runtime.settings import SettingsGroup, all_settings
from tests.support.settings_variables import known_variables

EXAMPLE = Path(__file__).parents[2] / ".env.example"
README = EXAMPLE.with_name("README.md")


def test_it_names_every_setting_and_nothing_else() -> None:
    assert set(dotenv_values(EXAMPLE)) == known_variables()


@pytest.mark.parametrize("settings", list(all_settings()), ids=lambda settings: settings.__module__)
def test_its_values_are_the_defaults(
    settings: type[SettingsGroup], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    defaults = settings()

    (tmp_path / ".env").write_text(EXAMPLE.read_text())

    assert settings() == defaults


def test_every_setting_has_a_comment_of_one_line_above_it() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if re.match(r"[A-Z_]+=", line)]

    assert settings
    assert [lines[number] for number in settings if not lines[number - 1].startswith("# ")] == []


def test_the_readme_lists_the_same_settings_defaults_and_words() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+?) \|$", README.read_text(), re.MULTILINE)
    lines = EXAMPLE.read_text().splitlines()

    assert [
        (name, "" if default == "empty" else default.strip("`"), words) for name, default, words in rows
    ] == [
        (*line.split("=", 1), above.removeprefix("# "))
        for above, line in pairwise(lines)
        if re.match(r"[A-Z_]+=", line)
    ]
