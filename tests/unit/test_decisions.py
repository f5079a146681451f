"""Decisions files are read as they were written, and what is wrong in one is named with its place."""

import os
from pathlib import Path

import pytest

from infra.runtime.settings import SettingsError
from stream_app.detectors.decisions import Decisions, read_decisions, write_decisions
from stream_app.detectors.odds.profile import Currency, Profile

PROFILE = Profile(
    threshold=-512,
    factor=2.5,
    currencies={"EUR": Currency("53.12", "220.00"), "JPY": Currency("8000.00")},
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "decisions.toml"


@pytest.mark.parametrize(
    "decisions",
    [Decisions("odds", {"odds": PROFILE}), Decisions("rolling_mean, odds", {"odds": Profile()}), Decisions()],
)
def test_what_is_written_is_read(file: Path, decisions: Decisions) -> None:
    write_decisions(file, decisions)

    assert read_decisions(file) == decisions


def test_a_file_is_as_somebody_would_write_it(file: Path) -> None:
    write_decisions(file, Decisions("odds", {"odds": PROFILE}))

    assert (
        file.read_text()
        == """\
detector = "odds"

[odds]
threshold = -512
factor = 2.5
base = 0.01
share = 0.33
hours = 240

[odds.currencies.EUR]
mean = "53.12"
limit = "220.00"

[odds.currencies.JPY]
mean = "8000.00"
"""
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("detector = ", "Invalid value (at end of document)"),
        ("detector = 5", 'detector: not a text such as detector = "odds"'),
        ('detector = "odds,thief"', "detector: there is no detector thief; there is "),
        ("[thief]\nlimit = 5", "thief: there is no detector thief; there is "),
        ("[rolling_mean]", "[rolling_mean]: rolling_mean has no profile"),
        ("odds = 5", "[odds]: Expected `object`, got `int`"),
        ("[odds]\nthreshold = 0.5", "[odds] threshold: Expected `int | null`, got `float`"),
        ("[odds]\nfactor = 1.0", "[odds] factor: Expected `float` > 1.0"),
        ("[odds]\nfaktor = 5.0", "[odds]: Object contains unknown field `faktor`"),
        ("[odds.currencies.EUR]\nmean = 53.12", "[odds] currencies.EUR.mean: Expected `str`, got `float`"),
        ('[odds.currencies.EUR]\nmean = "0.00"', "[odds] currencies.EUR: the mean has to be above 0"),
        ('[odds.currencies.euro]\nmean = "5.00"', "[odds] currencies: "),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)

    with pytest.raises(SettingsError) as refused:
        read_decisions(file)

    assert str(refused.value).startswith(f"{file}: {said}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    fifo, long, binary = tmp_path / "fifo", tmp_path / "long", tmp_path / "binary"
    os.mkfifo(fifo)
    long.write_bytes(b"#" * (1 << 20) + b"#")
    binary.write_bytes(b"# \xff")
    for path, said in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "not a file"),
        (fifo, "not a file"),
        (long, "longer than 1,048,576 bytes"),
        (binary, "not UTF-8 at byte 2"),
    ):
        with pytest.raises(SettingsError, match=f"^{path}: {said}$"):
            read_decisions(path)
