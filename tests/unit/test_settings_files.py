"""`.env.example` and `docs/settings.md`: written from the classes, each setting, default and use."""

from pathlib import Path

import pytest
from dotenv import dotenv_values

from infra.runtime.settings import SettingsGroup, all_settings
from tests.support.settings_variables import env_example, known_variables, settings_page

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
PAGE = ROOT / "docs" / "settings.md"
FILES = {EXAMPLE: env_example, PAGE: settings_page}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_says_what_the_classes_say(path: Path, pytestconfig: pytest.Config) -> None:
    text = FILES[path]()
    if pytestconfig.option.update_goldens:
        path.write_text(text)

    assert path.read_text() == text


def test_every_setting_is_listed_once_with_words() -> None:
    lines = EXAMPLE.read_text().splitlines()
    settings = [number for number, line in enumerate(lines) if line and not line.startswith("#")]

    assert set(dotenv_values(EXAMPLE)) == known_variables()
    assert len(settings) == len(known_variables())
    assert [lines[number] for number in settings if not lines[number - 1].startswith("# ")] == []
    assert [lines[number - 1] for number in settings if not lines[number - 1].endswith(".")] == []


@pytest.mark.parametrize("settings", list(all_settings()), ids=lambda settings: settings.__module__)
def test_the_example_changes_nothing(
    settings: type[SettingsGroup], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for variable in known_variables():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    defaults = settings.load()

    (tmp_path / ".env").write_text(EXAMPLE.read_text())

    assert settings.load() == defaults
