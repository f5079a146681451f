"""A worker with a detector more, which keeps a state of its own."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

import msgspec
import pytest
from jsonschema import Draft202012Validator

from schemas.rule import Rule
from stream_app.detectors import DETECTORS
from tests.support.flag_schema import flags_of
from tests.support.installation import Installation, json_of, twice_or_more, until
from tests.support.largest import Largest, flagged_by_largest
from tests.support.traffic import traffic


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


@contextmanager
def worker(installation: Installation, datadir: Path) -> Iterator[Popen[bytes]]:
    settings = {"TXNWATCH_DETECTOR": "largest", "TXNWATCH_LARGEST_FACTOR": "2", "TXNWATCH_WINDOW_SIZE": "5"}
    own = {"TXNWATCH_DATADIR": str(datadir), "TXNWATCH_SESSION_SECONDS": "6"}
    command = ("python", "-m", "tests.support.with_largest", "worker")
    with installation.command(*command, output=DEVNULL, **settings, **own) as process:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


async def test_its_state_outlives_a_restart_and_a_machine_that_is_lost(
    installation: Installation, tmp_path: Path
) -> None:
    transactions = traffic(1500, users=20)
    for part, datadir in enumerate(("first", "first", "second")):
        await installation.send_transactions(transactions[500 * part : 500 * (part + 1)])
        with worker(installation, tmp_path / datadir):
            await until(installation.finished)
            status, text = await installation.get("/detector/")

    flags = json_of(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))
    ids = [flag["id"] for flag in flags]
    assert twice_or_more(ids) == {}
    assert set(ids) == flagged_by_largest(transactions)
    assert len(ids) > 10
    schema = Draft202012Validator(flags_of([Largest]))
    for flag in flags:
        schema.validate(flag["meta_data"])
    rule = msgspec.convert(json.loads(text), Rule)
    assert (status, rule.detector, rule.window) == (200, "largest", 5)
    assert rule.settings["largest_factor"] == 2
    assert set(rule.words) == {*DETECTORS, "largest"}
