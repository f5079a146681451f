"""A rule that has changed over live windows is said, once, with what it was."""

from functools import partial
from pathlib import Path

import pytest

from infra.runtime.kafka import check_topics
from infra.runtime.shared_client import ClientPool
from stream_app.ownership import Ownership
from stream_app.pipeline import Pipeline, Publisher
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.sinks.kafka import committed_positions
from stream_app.state.decided.deciding import Deciders, Deciding
from stream_app.state.decided.feed import ControlFeed
from stream_app.state.store import WindowStore
from stream_app.takeover import TakeOver


async def take_over(settings: Settings, folder: Path) -> str:
    """Two partitions, by a worker without Postgres that has this folder; the rule that it runs."""
    store, rows, mirror = WindowStore(folder, cache_bytes=1 << 20, buffer_bytes=1 << 20), NoRows(), NoMirror()

    def pipeline(epoch: int, publisher: Publisher, deciding: Deciding) -> Pipeline:
        parts = deciding.decoder, deciding.scorer, store, rows, mirror
        return Pipeline(epoch, publisher, *parts, count=lambda _: None)

    async def fail(error: Exception) -> None:
        raise error

    clients, positions = ClientPool(settings, "output"), partial(committed_positions, settings)
    kept = (store, rows, mirror, Deciders(settings), ControlFeed(settings), clients, positions)
    one = TakeOver(settings, *kept, pipeline, rejoin=lambda _: None, fail=fail)
    ownership = Ownership(settings, partial(check_topics, settings, settings.topics), one)
    await ownership.acquire([0, 1])
    rule = ownership.deciding().rule.rule
    await ownership.release()
    await clients.close()
    return rule


async def test_a_changed_rule_is_said_once_wherever_the_windows_are_restored(
    environment: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings.model_validate(environment)

    before = await take_over(settings, tmp_path / "one")
    assert "rule" not in caplog.text
    monkeypatch.setenv("TXNWATCH_WINDOW_SIZE", "5")
    monkeypatch.setenv("TXNWATCH_WINDOW_MINIMUM", "3")
    now = await take_over(settings, tmp_path / "another")
    await take_over(settings, tmp_path / "one")

    said = [message for message in caplog.messages if "rule" in message]
    (line,) = said
    assert line.startswith("the rule has changed: window_minimum 10 -> 3, window_size 20 -> 5 (rule ")
    assert f"{before} -> {now}" in line
