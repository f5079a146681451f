"""A rule that has changed over live windows is said, once, with what it was."""

from functools import partial
from pathlib import Path

import pytest

from infra.runtime.kafka import check_topics, is_transient
from infra.runtime.retry import retried
from infra.runtime.shared_client import ClientPool
from schemas.transaction import Decoder
from stream_app.detectors import rule_of
from stream_app.pipeline import Pipeline
from stream_app.scoring import Detector, Scorer
from stream_app.settings import Settings
from stream_app.sinks.disabled import NoMirror, NoRows
from stream_app.sinks.kafka import committed_positions
from stream_app.state.store import WindowStore
from stream_app.state.topics import KnownTopics
from stream_app.takeover import TakeOver
from tests.support.detectors import rolling_mean


async def take_over(settings: Settings, folder: Path, detector: Detector[None]) -> None:
    """Two partitions, by a worker without Postgres that has this folder."""
    store, rows, mirror = WindowStore(folder, cache_bytes=1 << 20, buffer_bytes=1 << 20), NoRows(), NoMirror()
    pipeline = partial(
        Pipeline,
        decoder=Decoder(),
        scorer=Scorer(detector, 20),
        windows=store,
        rows=rows,
        mirror=mirror,
        count=lambda _: None,
    )
    clients, positions = ClientPool(settings, "output"), partial(committed_positions, settings)
    kept = (store, rows, mirror, rule_of(detector), clients, positions)
    one = TakeOver(settings, *kept, pipeline, rejoin=lambda: None)
    topics = KnownTopics.of(await check_topics(settings, settings.topics), settings)
    for partition in (0, 1):
        opened = await retried(partial(one.open, partition, topics), is_transient, what="Kafka", within=30)
        await opened.close()
    await clients.close()


async def test_a_changed_rule_is_said_once_wherever_the_windows_are_restored(
    environment: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate(environment)
    before, now = rolling_mean(), rolling_mean(size=5, minimum=3)

    await take_over(settings, tmp_path / "one", before)
    assert "rule" not in caplog.text
    await take_over(settings, tmp_path / "another", now)
    await take_over(settings, tmp_path / "one", now)

    said = [message for message in caplog.messages if "rule" in message]
    (line,) = said
    assert line.startswith("the rule has changed: window_minimum 10 -> 3, window_size 20 -> 5 (rule ")
    assert f"{before.rule} -> {now.rule}" in line
