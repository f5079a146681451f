"""The worker as a process on real Kafka, Postgres and Redis, against the oracle."""

import asyncio
import json
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from api.reading.worker import WorkerView
from api.web.problems import Unavailable
from infra.runtime.redis import Keys
from schemas.money import amount_text
from schemas.refusal import REASONS
from stream_app.sinks.owners import claim_rows
from tests.support.detectors import rolling_mean
from tests.support.exposed import samples
from tests.support.installation import Installation, ended, json_of, twice_or_more, until
from tests.support.messages import REFUSED
from tests.support.oracle import Expected, replay
from tests.support.services import free_port
from tests.support.serving import changed, settings_from
from tests.support.traffic import Sent, traffic

LOGGED = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) (stream_app|infra)[a-z_.]*: .+"


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


async def assert_outcome(installation: Installation, transactions: Sequence[Sent]) -> Expected:
    """Rows, flags and the mirror are those of the transactions replayed; each flag is there once."""
    expected = replay(transactions)
    rows = await installation.rows()
    assert sorted(row["id"] for row in rows) == sorted(expected.stored)
    assert {row["id"] for row in rows if row["meta_data"]["is_anomaly"]} == expected.flagged
    anomalies = [row["id"] for row in json_of(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))]
    assert twice_or_more(anomalies) == {}
    assert set(anomalies) == expected.flagged
    newest_first = {
        user: [amount_text(amount) for amount in reversed(window)]
        for user, window in expected.windows.items()
    }
    await until(lambda: _mirrors(installation, newest_first), within=15)
    return expected


async def _mirrors(installation: Installation, newest_first: dict[str, list[str]]) -> bool:
    return await installation.mirrored() == newest_first


async def test_each_transaction_ends_in_every_place_it_belongs_in(installation: Installation) -> None:
    transactions = traffic(3000)
    await installation.send_transactions(transactions, compression_type="zstd")

    with installation.worker() as worker:
        await until(installation.finished)
        expected = await assert_outcome(installation, transactions)
        user = transactions[-1].user_id
        status, text = await installation.get(f"/table/windows/{user}/")
        flags_from = await installation.get(f"/flags_from/{user}/?currency=INR")
        unknown = await installation.get(f"/flags_from/{UUID(int=0)}/?currency=INR")
        assert await ended(worker) == 0

    assert len(expected.flagged) > 20
    assert (flags_from[0], unknown[0]) == (200, 404)
    assert json.loads(flags_from[1])["flags_from"] == {}  # the page knows by itself what rolling_mean says
    assert status == 200
    assert json.loads(text)["amounts"] == [amount_text(a) for a in reversed(expected.windows[user])]
    assert installation.windows() == expected.windows
    rows = {row["id"]: row for row in await installation.rows()}
    scored = await installation.read("TXNWATCH_SCORED_TOPIC")
    assert {row["id"]: row for row in json_of(scored)} == rows
    assert len(scored) == len(transactions)
    for sent in transactions:
        row = rows[sent.id]
        assert [row[name] for name in ("user_id", "amount", "currency", "txn_date", "status")] == [
            sent.user_id, sent.amount, sent.currency, sent.txn_date, sent.status,
        ]  # fmt: skip
        assert row["meta_data"]["is_anomaly"] is (sent.id in expected.flagged)
    assert all(
        (record.key or b"").decode() == json.loads(record.value or b"")["user_id"]
        and dict(record.headers)["source-partition"] == str(record.partition).encode()
        and dict(record.headers)["rule"] == rolling_mean().rule.encode()
        for record in scored
    )
    assert set(rows[next(iter(expected.flagged))]["meta_data"]) == {
        "is_anomaly", "detector", "rule", "mean", "window", "ratio", "threshold",
    }  # fmt: skip


async def is_draining(installation: Installation, port: str) -> bool:
    status, body = await installation.get("/ready", port)
    return status == 503 and json.loads(body)["detail"] == "Stopping."


async def test_what_is_no_transaction_is_kept_with_its_reason(installation: Installation) -> None:
    good = traffic(20, users=1)
    bad = {**REFUSED, "key": (None, good[0].value)}
    sent = [*bad.values(), (good[0].key, None), *((one.key, one.value) for one in [*good, good[-1]])]

    probe_port = str(free_port())
    with installation.worker(TXNWATCH_PROBE_PORT=probe_port, TXNWATCH_WORKER_DRAIN_SECONDS="60") as worker:
        await installation.send(sent)
        await until(installation.finished)
        await assert_outcome(installation, good)
        _, metrics = await installation.get("/metrics")
        for port in (None, probe_port):
            assert await installation.get("/health", port) == (200, '{"health":"ok"}')
            status, body = await installation.get("/ready", port)
            states = {name: {"state": "up"} for name in ("kafka", "postgres", "redis")}
            assert (status, json.loads(body)) == (200, {"ready": True, "dependencies": states})
            shown = (await installation.get("/metrics", port))[1]
            assert 'txnwatch_dependency_up{dependency="kafka"} 1.0' in shown
        worker.send_signal(signal.SIGTERM)
        await until(lambda: is_draining(installation, probe_port))
        assert await ended(worker) == 0  # by another signal, at once

    letters = await installation.read("TXNWATCH_DLQ_TOPIC")
    assert {dict(letter.headers)["reason"].decode(): (letter.key, letter.value) for letter in letters} == bad
    assert len(letters) == len(bad)
    assert all(
        set(dict(letter.headers))
        == {
            "reason",
            "detail",
            "source-topic",
            "source-partition",
            "source-offset",
            "source-timestamp",
            "source-partitions",
        }
        for letter in letters
    )
    became = samples(metrics, "txnwatch_records_total")
    of_reasons = {f"refused_{reason}": 1 for reason in REASONS}
    others = {"scored": 20, "duplicate": 1, "revision": 0, "replayed": 0, "tombstone": 1}
    assert became == of_reasons | others
    assert samples(metrics, "txnwatch_consumed_records_total") == {"": len(sent)}
    assert sum(samples(metrics, "txnwatch_partition_records_total").values()) == len(sent)
    assert samples(metrics, "txnwatch_lag_offsets") == dict.fromkeys(map(str, range(4)), 0)


@pytest.mark.slow  # tests/faults/test_kills.py kills one at its commits
async def test_a_worker_killed_in_the_middle_goes_on_to_the_same_numbers(installation: Installation) -> None:
    transactions = traffic(30_000, users=300)
    await installation.send_transactions(transactions)

    async def half_way() -> bool:
        return await installation.committed() > len(transactions) / 4

    with installation.worker(TXNWATCH_BATCH_SIZE="200") as worker:
        await until(half_way)
        worker.kill()
        worker.wait()
    killed_at = await installation.committed()
    with installation.worker() as worker:
        await until(installation.finished)
        expected = await assert_outcome(installation, transactions)
        assert await ended(worker) == 0

    assert killed_at < len(transactions)
    assert installation.windows() == expected.windows
    scored = [row["id"] for row in json_of(await installation.read("TXNWATCH_SCORED_TOPIC"))]
    assert sorted(scored) == sorted(expected.stored)


async def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(
    installation: Installation, tmp_path: Path
) -> None:
    first, second, third = (traffic(3000, seed=1, start=3000 * turn) for turn in range(3))
    second = [*_renamed(second, "2")]
    third = [*_renamed(third, "3")]
    other = {"TXNWATCH_WEB_PORT": str(free_port()), "TXNWATCH_DATADIR": str(tmp_path / "other")}

    with installation.worker() as one:
        await installation.send_transactions(first)
        await until(installation.finished)
        with installation.worker(**other) as two:
            await until(lambda: installation.shared(other["TXNWATCH_WEB_PORT"]))
            await installation.send_transactions(second)
            await until(installation.finished)
            user = first[0].user_id
            views = [
                await installation.get(f"/table/windows/{user}/", port)
                for port in (None, other["TXNWATCH_WEB_PORT"])
            ]
            assert await ended(one) == 0
            await installation.send_transactions(third)
            await until(installation.finished)
            expected = await assert_outcome(installation, [*first, *second, *third])
            assert await ended(two) == 0

    assert views[0] == views[1]
    assert views[0][0] == 200
    assert installation.windows(tmp_path / "other") == expected.windows


def _renamed(transactions: Sequence[Sent], digit: str) -> list[Sent]:
    """The same users' transactions with ids of their own."""
    return [
        Sent(digit * 8 + sent.id[8:], sent.user_id, sent.amount, sent.currency, sent.txn_date, sent.status)
        for sent in transactions
    ]


async def test_fausts_own_command_runs_the_same_worker(installation: Installation, tmp_path: Path) -> None:
    transactions = traffic(200)
    await installation.send_transactions(transactions)

    command = ("faust", "-A", "stream_app.app", "worker", "-l", "info")
    with (tmp_path / "log").open("w+b") as log, installation.command(*command, output=log.fileno()) as worker:
        await until(installation.finished)
        await assert_outcome(installation, transactions)
        assert await ended(worker) == 0
    lines = [line for line in (tmp_path / "log").read_text().splitlines() if re.match(r"20\d\d-", line)]
    assert all(re.fullmatch(LOGGED, line) for line in lines), lines
    loggers = [line.split(": ")[0].replace("faust_adapter", "") for line in lines]
    assert not [one for one in loggers if "faust" in one or "create_ap" in one]
    assert "\x1b" not in (tmp_path / "log").read_text()


async def test_without_sinks_the_worker_goes_from_kafka_to_kafka(installation: Installation) -> None:
    transactions = traffic(1000, users=10)
    await installation.send_transactions(transactions)
    nowhere = {"POSTGRES_URL": "postgresql://localhost:1/none", "REDIS_URL": "redis://localhost:1"}

    with installation.worker(TXNWATCH_SINKS="", TXNWATCH_SCORED_TOPIC="", **nowhere) as worker:
        await until(installation.finished)
        assert await ended(worker) == 0

    expected = replay(transactions)
    anomalies = json_of(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))
    assert {row["id"] for row in anomalies} == expected.flagged
    assert installation.windows() == expected.windows
    assert await installation.read("TXNWATCH_SCORED_TOPIC") == []
    assert await installation.rows() == []


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TXNWATCH_APP_ID", "another", "no topic another-windows-changelog: create the topics"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1", "Kafka (KAFKA_BOOTSTRAP_SERVERS): "),
        ("TXNWATCH_BATCH_SIZE", "0", "TXNWATCH_BATCH_SIZE: Input should be greater than or equal to 1"),
        ("TXNWATCH_DETECTOR", "oracle", "TXNWATCH_DETECTOR: must be one or several of "),
        ("TXNWATCH_SINKS", "mysql", "TXNWATCH_SINKS: String should match pattern"),
        ("TXNWATCH_DLQ_TOPIC", "anomalies!", "TXNWATCH_DLQ_TOPIC: String should match pattern"),
        ("TXNWATCH_DATADIR", "README.md", "TXNWATCH_DATADIR: README.md is no folder to write to"),
        ("TXNWATCH_WINDOW_MINIMUM", "21", "TXNWATCH_WINDOW_MINIMUM: is more than"),
        (
            "POSTGRES_URL",
            "localhost:5432",
            "POSTGRES_URL: must be a URL that starts with postgresql:// or postgres://",
        ),
    ],
)
async def test_a_worker_that_cannot_start_says_why_in_a_line(
    installation: Installation, variable: str, value: str, message: str
) -> None:
    installation.environment[variable] = value
    with installation.command("txnwatch", "worker") as worker:
        output, _ = await asyncio.to_thread(worker.communicate, timeout=60)

    assert worker.returncode == 1
    [line] = [one for one in output.decode().splitlines() if not re.match(r"20\d\d-", one)]  # of no log
    assert message in line


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DROP TABLE schema_migrations", "has no tables of ours: run `txnwatch migrate`"),
        ("ALTER TABLE sink_offsets RENAME next_offset TO next", '"sink_offsets" does not exist'),
    ],
)
async def test_a_worker_that_its_database_ends_says_why_on_its_last_line(
    installation: Installation, statement: str, message: str
) -> None:
    async with installation.postgres() as connection:
        await connection.execute(statement)

    code, output = await installation.completed("txnwatch", "worker")

    lines = output.splitlines()
    assert code == 1
    assert lines[-1].startswith("Error: Postgres (POSTGRES_URL): ")
    assert message in lines[-1]
    assert len(lines) <= 20
    assert "Traceback" not in output


async def test_whichever_command_starts_a_worker_it_says_why_it_cannot(installation: Installation) -> None:
    """Each of these ends Faust's own command with a last line, as it does `txnwatch worker`."""
    async with (
        installation.postgres() as connection,
        Redis.from_url(installation.environment["REDIS_URL"]) as redis,
    ):
        await claim_rows(connection, "theirs", installation.transactions, shared=False)
        await redis.hset(Keys("eu:").owner, mapping={"app_id": "theirs", "format": "1"})
    wrong = {
        "for the web views: Address already in use: TXNWATCH_WEB_PORT": {},
        "TXNWATCH_DATADIR: README.md is no folder to write to": {"TXNWATCH_DATADIR": "README.md"},
        "no topic another-windows-changelog: create the topics": {"TXNWATCH_APP_ID": "another"},
        "TXNWATCH_WINDOW_MINIMUM: is more than": {"TXNWATCH_WINDOW_MINIMUM": "21"},
        "the rows in this database are those of TXNWATCH_APP_ID theirs": {"TXNWATCH_SINKS": "postgres"},
        "the windows in this Redis are those of TXNWATCH_APP_ID theirs": {
            "TXNWATCH_SINKS": "redis",
            "TXNWATCH_REDIS_PREFIX": "eu:",
        },
    }
    faust = ("faust", "-A", "stream_app.app", "worker")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        next(iter(wrong.values()))["TXNWATCH_WEB_PORT"] = str(taken.getsockname()[1])
        ended = await asyncio.gather(*(installation.completed(*faust, **one) for one in wrong.values()))

    for (code, output), said in zip(ended, wrong, strict=True):
        *before, last = output.splitlines()
        assert (code, "Traceback" in output) == (1, False)
        assert last.startswith("Error: ")
        assert said in last
        assert len(before) < 20


@pytest.mark.slow
async def test_views_with_a_secret_answer_workers_and_api_alone(
    installation: Installation, tmp_path: Path
) -> None:
    """Each worker is asked for each user: the one that has the user may be the other."""
    secured = {"TXNWATCH_WEB_LOGIN": "required", "TXNWATCH_WEB_SECRET": "shared by all of them"}
    other = {"TXNWATCH_WEB_PORT": str(free_port()), "TXNWATCH_DATADIR": str(tmp_path / "other")}
    transactions = traffic(500)
    users = {one.user_id for one in transactions if one.user_id}
    settings = settings_from({**installation.environment, **secured})
    ports = installation.environment["TXNWATCH_WEB_PORT"], other["TXNWATCH_WEB_PORT"]
    views = [WorkerView(changed(settings, worker_url=f"http://127.0.0.1:{port}")) for port in ports]

    async def answered() -> bool:
        try:
            windows = [await view.window(user) for view in views for user in users]
        except Unavailable:
            return False
        return None not in windows

    with installation.worker(**secured), installation.worker(**secured, **other):
        await installation.send_transactions(transactions)
        await until(installation.finished)
        await until(answered)
        for port in ports:
            assert (await installation.get("/table/windows/", port))[0] == 401
