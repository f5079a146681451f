"""The clients of docs/clients.md, run as they stand there."""

import shutil
import time
from pathlib import Path

import pytest

from api.settings import Settings
from tests.support.documents import blocks, section
from tests.support.feed_clients import feed_client, network
from tests.support.rows import Worker, made, user
from tests.support.serving import serving, settings_from

ALICE, BOB = user(1), user(2)
LONGEST = {"note": "a\u2028b\u0085" + "x" * 65_320}
"""Makes a row of more than 64 KiB of a message that has less."""


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    """The API's settings for this test's installation."""
    return settings_from(environment)


LANGUAGES = {
    "JavaScript": ("js", "feed.mjs", ["node"]),
    "Python": ("python", "feed.py", ["python3"]),
    "Shell": ("bash", "feed.sh", ["bash"]),
    "Go": ("go", "feed.go", ["go", "run"]),
    "Java": ("java", "Feed.java", ["java"]),
}
COMPILED = {"Go", "Java"}
"""Compiling takes longer than all else."""


def written(language: str, folder: Path) -> list[str | Path]:
    """The command of the client as it stands in the document."""
    fence, name, command = LANGUAGES[language]
    if not shutil.which(command[0]) or (language == "Shell" and not shutil.which("curl")):
        pytest.skip(f"{command[0]} is not installed")
    [text] = blocks(section("docs/clients.md", language), fence)
    (folder / name).write_text(text)
    return [*command, folder / name]


@pytest.mark.parametrize(
    "language",
    [pytest.param(one, marks=pytest.mark.slow if one in COMPILED else ()) for one in LANGUAGES],
)
async def test_a_client_that_is_cut_off_before_its_first_row_misses_nothing(
    settings: Settings, tmp_path: Path, language: str
) -> None:
    command = written(language, tmp_path)
    many = [made(ALICE, n, meta_data=LONGEST if n == 3 else None) for n in range(8)]
    assert len(many[3].row) > 1 << 16
    async with (
        serving(settings) as client,
        network(client.port or 0) as between,
        Worker(settings.kafka, settings.scored_topic) as worker,
    ):
        feed = f"http://127.0.0.1:{between.port}/sse/transactions/{ALICE}"
        async with feed_client([*command, feed], tmp_path) as reader:
            await between.brings(b"data: {}\n\n")
            between.cut()
            await worker.publish(*many[:5], made(BOB))
            between.mend()
            await reader.has(5)
            await worker.publish(*many[5:])
            await reader.has(8)
            assert reader.ids == [one.txn.id for one in many]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_client_that_hears_nothing_comes_back_when_it_is_asked_to(
    settings: Settings, tmp_path: Path, language: str
) -> None:
    """The network drops what comes over a connection and leaves it open: no end is ever seen."""
    command, many = written(language, tmp_path), [made(ALICE, n) for n in range(3)]
    async with (
        serving(settings, retry_milliseconds=6000) as client,
        network(client.port or 0) as between,
        Worker(settings.kafka, settings.scored_topic) as worker,
    ):
        feed = f"http://127.0.0.1:{between.port}/sse/transactions/{ALICE}"
        async with feed_client([*command, feed], tmp_path) as reader:
            await between.brings(b"data: {}\n\n")
            between.stall()
            stalled = time.monotonic()
            await worker.publish(*many)
            await reader.has(3)
            assert 13 < time.monotonic() - stalled < 30
            assert reader.ids == [one.txn.id for one in many]
