"""The embedded Kafka, Postgres and Valkey: real servers in data folders of these tests' own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from infra.embedded import cluster, processes
from infra.embedded.cluster import Addresses
from infra.embedded.processes import ServiceError
from tests.support.services import embedded_datadir

TXNWATCH = str(Path(sys.executable).with_name("txnwatch"))
NAMES = ("kafka", "postgres", "valkey")


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A data folder whose services start once; a test that stops them need not start them again."""
    with embedded_datadir() as datadir:
        yield datadir


@pytest.fixture
def datadir() -> Iterator[Path]:
    """An empty data folder of the test's own."""
    with embedded_datadir() as datadir:
        yield datadir


def pids(datadir: Path) -> dict[str, int]:
    """The processes by service, as `status` finds them."""
    return {name: found.pid for name, found in cluster.status(datadir).items() if found.pid is not None}


def running_in(datadir: Path) -> list[str]:
    """The command lines of all processes that name the folder."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if str(datadir) in " ".join(process.info["cmdline"] or [])
    ]


def write(addresses: Addresses, text: str) -> None:
    """Leave the text with each of the three."""
    asyncio.run(_write(addresses, text))


async def _write(addresses: Addresses, text: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=addresses.kafka)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=addresses.kafka) as producer:
        await producer.send_and_wait("kept", text.encode())
    connection = await asyncpg.connect(addresses.postgres)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
    await connection.execute("INSERT INTO kept VALUES ($1)", text)
    await connection.close()
    with redis.Redis.from_url(addresses.redis) as client:
        client.rpush("kept", text)


def read(addresses: Addresses) -> dict[str, list[str]]:
    """What each of the three was left with."""
    return asyncio.run(_read(addresses))


async def _read(addresses: Addresses) -> dict[str, list[str]]:
    partition = TopicPartition("kept", 0)
    async with AIOKafkaConsumer(bootstrap_servers=addresses.kafka) as consumer:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        records = [(await consumer.getone()).value.decode() for _ in range(end)]
    connection = await asyncpg.connect(addresses.postgres)
    rows = [row["text"] for row in await connection.fetch("SELECT text FROM kept")]
    await connection.close()
    with redis.Redis.from_url(addresses.redis, decode_responses=True) as client:
        items = list(client.lrange("kept", 0, -1))
    return {"kafka": records, "postgres": rows, "valkey": items}


def test_data_and_addresses_are_the_same_after_down_and_up(datadir: Path) -> None:
    addresses = cluster.up(datadir)
    write(addresses, "before")

    cluster.down(datadir)
    assert running_in(datadir) == []
    again = cluster.up(datadir)

    assert again == addresses
    assert read(again) == {name: ["before"] for name in NAMES}


def test_up_finds_the_servers_that_run(shared: Path) -> None:
    addresses = cluster.up(shared)
    before = pids(shared)

    again = cluster.up(shared)

    assert again == addresses
    assert pids(shared) == before
    assert set(before) == set(NAMES)


def test_servers_run_in_sessions_of_their_own_without_the_callers_environment(shared: Path) -> None:
    cluster.up(shared)

    found = pids(shared)

    assert all(os.getsid(pid) == pid for pid in found.values())
    assert psutil.Process(found["kafka"]).environ() == processes.ENVIRONMENT


def test_servers_listen_on_localhost_alone(shared: Path) -> None:
    cluster.up(shared)

    listening = [
        (name, connection.laddr.ip.removeprefix("::ffff:"))
        for name, pid in pids(shared).items()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert sorted(listening) == [("kafka", "127.0.0.1"), ("kafka", "127.0.0.1"), ("valkey", "127.0.0.1")]


@pytest.mark.parametrize("name", NAMES)
def test_up_recovers_a_server_that_was_killed_and_leaves_the_others_alone(shared: Path, name: str) -> None:
    addresses = cluster.up(shared)
    write(addresses, f"before {name} was killed")
    kept = read(addresses)
    before = pids(shared)
    if name == "valkey":
        # Its file is synced once a second, which is what a kill may cost by design.
        with redis.Redis.from_url(addresses.redis) as client:
            client.waitaof(1, 0, 5000)

    victim = psutil.Process(before[name])
    victim.kill()
    psutil.wait_procs([victim], 5)
    again = cluster.up(shared)

    assert read(again) == kept
    after = pids(shared)
    assert {other for other in NAMES if after[other] != before[other]} == {name}


def test_a_taken_port_is_replaced_and_clients_are_told_the_new_one(shared: Path) -> None:
    addresses = cluster.up(shared)
    write(addresses, "before the port was taken")
    kept = read(addresses)
    cluster.down(shared)

    with ExitStack() as stack:
        for port in json.loads((shared / "services.json").read_text())["ports"].values():
            taken = stack.enter_context(socket.socket())
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
        moved = cluster.up(shared)
        found = read(moved)

    assert {moved.kafka, moved.redis} & {addresses.kafka, addresses.redis} == set()
    assert found == kept


def test_two_folders_side_by_side_share_nothing(shared: Path) -> None:
    first = cluster.up(shared)
    with embedded_datadir() as parent:
        # A folder such as people have, and too long for a Unix socket in it.
        second_folder = parent / "Büro, alle Daten" / ("long " * 20).strip()
        second = cluster.up(second_folder)
        try:
            write(second, "second")
            assert read(second) == {name: ["second"] for name in NAMES}
            assert set(first.as_env().values()) & set(second.as_env().values()) == set()
        finally:
            cluster.down(second_folder)
        assert running_in(second_folder) == []
        sockets = Path(second.postgres.partition("host=")[2])
        assert not sockets.is_relative_to(parent)
        assert not sockets.exists()
    assert set(pids(shared)) == set(NAMES)


def test_two_ups_at_once_on_one_folder_start_one_set(shared: Path) -> None:
    cluster.down(shared)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(_up_as_command, [shared, shared])

    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert len(running_in(shared)) == len(NAMES)


def _up_as_command(datadir: Path) -> subprocess.CompletedProcess[str]:
    command = [TXNWATCH, "services", "up", "--datadir", str(datadir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_server_that_cannot_start_is_a_screen_of_its_log_and_nothing_stays_running(shared: Path) -> None:
    cluster.up(shared)
    cluster.down(shared)
    configuration = shared / "postgres" / "postgresql.conf"
    good = configuration.read_text()
    configuration.write_text(good + "\nno_such_setting = on\n")

    with pytest.raises(ServiceError) as raised:
        cluster.up(shared)

    configuration.write_text(good)
    message = str(raised.value)
    assert message.startswith("postgres ended while starting")
    assert 'unrecognized configuration parameter "no_such_setting"' in message
    assert str(shared / "logs" / "postgres.log") in message
    assert len(message.splitlines()) < 24
    assert running_in(shared) == []


def test_ctrl_c_while_they_start_leaves_nothing_running(shared: Path) -> None:
    cluster.down(shared)
    command = [TXNWATCH, "services", "up", "--datadir", str(shared)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as starting:
        _wait_for(lambda: len(pids(shared)) == len(NAMES))
        starting.send_signal(signal.SIGINT)
        assert starting.wait(60) == 1

    assert running_in(shared) == []


def _wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_commands_up_status_and_down_do_what_they_say(shared: Path, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("TXNWATCH_APP_ID=mine\nREDIS_URL=redis://elsewhere\n")

    def services(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [TXNWATCH, "services", *arguments, "--datadir", str(shared)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    up = services("up", "--env-file", str(env_file))
    running = services("status")
    down = services("down")
    again = services("down")
    stopped = services("status")

    assert (up.returncode, running.returncode, down.returncode, again.returncode) == (0, 0, 0, 0)
    values = dict(line.split("=", 1) for line in env_file.read_text().splitlines())
    assert set(values) == {"TXNWATCH_APP_ID", "KAFKA_BOOTSTRAP_SERVERS", "POSTGRES_URL", "REDIS_URL"}
    assert values["TXNWATCH_APP_ID"] == "mine"
    assert sorted(up.stdout.splitlines()) == sorted(env_file.read_text().splitlines()[1:])
    assert running.stdout.count("running ") == len(NAMES)
    assert down.stderr == "stopped kafka, postgres, valkey\n"
    assert again.stderr == "nothing was running\n"
    assert stopped.returncode == 1
    assert stopped.stdout.count("stopped") == len(NAMES)
