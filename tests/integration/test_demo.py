"""The demo as a person runs it: it shows traffic and flags, survives a killed worker, leaves nothing."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import asyncpg
import psutil
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from infra.demo import watch
from infra.demo.children import ChildError, Children
from infra.demo.group import guarded
from infra.demo.watch import until_answers
from infra.embedded.state import STATE_FILE, State
from tests.support.layouts import ROWS, layout
from tests.support.services import embedded_datadir
from tests.support.serving import DEAD
from tests.support.source import ROOT
from tests.support.standing_still import standing_still

PATIENCE_SECONDS = 90
STOP_SECONDS = 2.0
"""How long Ctrl-C may take where half of the machine is idle; at twice that load, twice that."""
COUNTS = r"([\d,]+) scored +[\d,]+/s.* flagged +(?P<waiting>[\d,]+) waiting"
FLAG = (
    r"flag: \w{3} [\d,.]+ is [\d.]+ times this user's mean of \w{3} [\d,.]+ over \d+ transactions "
    r"\(user [0-9a-f]{8}-"
)


class Screen:
    """A command's output, line by line, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines: Queue[str] = Queue()
        self._seen: list[str] = []
        self._reader = Thread(target=self._read, args=[process.stdout], daemon=True)
        self._reader.start()

    def _read(self, output: Iterator[str]) -> None:
        for line in output:
            self._lines.put(line)

    def until(self, pattern: str) -> re.Match[str]:
        """The next line that matches."""
        while True:
            try:
                line = self._lines.get(timeout=PATIENCE_SECONDS)
            except Empty:
                pytest.fail(f"no line like {pattern!r} after:\n{''.join(self._seen)}")
            self._seen.append(line)
            if match := re.search(pattern, line):
                return match

    def close(self) -> None:
        """Wait for the output's end."""
        self._reader.join(PATIENCE_SECONDS)


def demo(datadir: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("txnwatch"), "demo", "--datadir", datadir, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started_in(datadir: Path) -> list[str]:
    """The command lines of processes that have the data folder in their arguments or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(datadir) in " ".join([*process.cmdline(), *process.environ().values()]):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def scored(screen: Screen) -> int:
    """How many are scored, by the next line of numbers."""
    return numbers(screen)[0]


def numbers(screen: Screen) -> tuple[int, int]:
    """How many are scored, and how many wait, by the next line of numbers."""
    line = screen.until(COUNTS)
    return int(line.group(1).replace(",", "")), int(line.group("waiting").replace(",", ""))


def test_the_demo_survives_killed_parts_keeps_its_numbers_and_leaves_nothing_however_it_ends() -> None:
    with embedded_datadir() as datadir:
        with demo(datadir, "--rate", "300") as process:
            try:
                screen = Screen(process)
                screen.until(r"API +http://127\.0\.0\.1:\d+")
                worker = int(screen.until(r"kill -9 (\d+)").group(1))
                screen.until(FLAG)
                before = scored(screen)
                with demo(datadir) as another:
                    output, _ = another.communicate(timeout=PATIENCE_SECONDS)
                assert another.returncode == 1
                assert "another demo runs in" in output
                psutil.Process(worker).kill()
                psutil.Process(State.load(datadir).pids["valkey"]).kill()
                screen.until("valkey ended: starting again")
                screen.until(r"worker ended \(killed by SIGKILL\): started again")
                assert scored(screen) >= before
                logs = list((datadir / "logs").iterdir())
                assert len(logs) > 5
                assert [log.name for log in logs if b"\x1b" in log.read_bytes()] == []
            finally:
                process.kill()
        everything_ends(datadir)
        for moment in ("starting kafka", "kafka answers at"):
            with demo(datadir) as process:
                screen = Screen(process)
                screen.until(moment)
                stop(process, screen)
            assert started_in(datadir) == []


@pytest.mark.slow
def test_the_numbers_add_up_after_a_kill_services_come_back_and_ctrl_c_ends_it_while_traffic_flows() -> None:
    with embedded_datadir() as datadir, demo(datadir, "--rate", "300") as process:
        try:
            screen = Screen(process)
            kafka, postgres = (screen.until(rf"{name} +(\S+)").group(1) for name in ("Kafka", "Postgres"))
            worker = int(screen.until(r"kill -9 (\d+)").group(1))
            scored(screen)
            psutil.Process(worker).kill()
            asyncio.run(send_refused(kafka, 7))
            screen.until(r"worker ended \(killed by SIGKILL\): started again")
            with standing_still(child(datadir, "produce")):
                sent = asyncio.run(produced(kafka))
                while numbers(screen) != (sent - 7, 0):
                    pass  # a screen that has come to a standstill fails
                assert asyncio.run(rows(postgres)) == sent - 7
            for service in ("kafka", "postgres"):
                psutil.Process(State.load(datadir).pids[service]).kill()
                screen.until(f"{service} ended: starting again")
                before = scored(screen)
                while scored(screen) <= before:
                    pass
            stop(process, screen)
        finally:
            process.kill()
        assert started_in(datadir) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paysim", "sparkov"])
def test_a_file_of_a_foreign_layout_is_recognised_shown_and_scored(tmp_path: Path, name: str) -> None:
    sample, file = layout(name), tmp_path / "somebodys.csv"
    file.write_bytes(sample.csv())
    wanted = [one for one in sample.expected if one is not None]
    with embedded_datadir() as datadir, demo(datadir, "--data", str(file)) as process:
        try:
            screen = Screen(process)
            screen.until(f"{file}: the layout of {name}")
            screen.until(rf"{len(wanted):,} of {ROWS:,} records become transactions of [\d,]+ users")
            api = screen.until(r"API +(http://\S+)").group(1)
            postgres = screen.until(r"Postgres +(\S+)").group(1)
            screen.until(rf"produce {file} --mapping {name}.* ended, exit code 0")
            while numbers(screen) != (len(wanted), 0):
                pass  # a screen that has come to a standstill fails
            assert asyncio.run(rows(postgres)) == len(wanted)
            one = max(wanted, key=lambda found: found.txn_date)
            assert one.txn_date.year < 2024
            [newest] = asyncio.run(
                answer(f"{api}/transactions?user_id={one.user_id}&from_date=2000-01-01T00:00:00Z&limit=1")
            )["transactions"]
            assert (newest["txn_date"], newest["status"]) == (
                one.txn_date.isoformat().replace("+00:00", "Z"),
                one.status,
            )
            stop(process, screen)
        finally:
            process.kill()
        everything_ends(datadir)


async def answer(url: str) -> Any:
    """What the API answers."""
    async with ClientSession() as session, session.get(url) as response:
        assert response.status == 200
        return await response.json()


async def send_refused(kafka: str, count: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(count):
            await producer.send_and_wait("transactions", b"{")


async def produced(kafka: str) -> int:
    """How many messages the input has."""
    async with AIOKafkaConsumer("transactions", bootstrap_servers=kafka) as consumer:
        return sum((await consumer.end_offsets(consumer.assignment())).values())


async def rows(postgres: str) -> int:
    connection = await asyncpg.connect(postgres)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM transactions"))
    finally:
        await connection.close()


def child(datadir: Path, command: str) -> psutil.Process:
    """The demo's process of this command."""
    [process] = [
        one
        for one in psutil.process_iter(["cmdline", "environ"])
        if command in (one.info["cmdline"] or []) and str(datadir) in str(one.info["environ"])
    ]
    return process


def stop(process: subprocess.Popen[str], screen: Screen) -> None:
    """As Ctrl-C does, in bounded time."""
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    screen.until("everything has stopped")
    assert process.wait(PATIENCE_SECONDS) == 0
    assert time.monotonic() - began < STOP_SECONDS * max(1, 2 * load)


def everything_ends(datadir: Path) -> None:
    """Within a few seconds nothing runs any more that was started there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while left := started_in(datadir):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


async def test_another_programs_answers_are_not_taken_for_the_apis(tmp_path: Path) -> None:
    async def anything(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/ready", anything)
    async with TestServer(app) as other, ClientSession() as session:
        children = Children(os.getpgrp(), tmp_path, print, {"TXNWATCH_API_PORT": str(other.port)})
        api = await children.start("api")
        with pytest.raises(ChildError, match=rf"Port {other.port} on 127.0.0.1 is taken"):
            await until_answers(session, api, str(other.make_url("/ready")), other.port or 0, within=60)


@pytest.mark.parametrize("killed", [True, False])
async def test_a_guard_that_failed_is_said_with_its_log(tmp_path: Path, *, killed: bool) -> None:
    said: list[str] = []
    (tmp_path / "logs").mkdir()
    if not killed:
        (tmp_path / STATE_FILE).write_text("cut")
    async with guarded(tmp_path, said.append) as guard:
        if killed:
            os.kill(guard, signal.SIGKILL)

    assert "everything has stopped" not in said
    assert f"exit code {-signal.SIGKILL if killed else 1}, see {tmp_path}/logs/guard.log" in said[-1]


async def test_a_disk_that_is_nearly_full_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)
    for little, times in ((0, 0), (1 << 62, 1)):
        monkeypatch.setattr(watch, "_LITTLE_BYTES", little)
        with suppress(TimeoutError):
            await asyncio.wait_for(watch.watch_disk(tmp_path, said.append), 0.2)
        assert len(said) == times
    assert re.fullmatch(rf"the disk of {tmp_path} is nearly full: \d+ MB are left; .*", said[0])


async def test_how_the_sending_of_a_file_ended_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    children = Children(os.getpgrp(), tmp_path, said.append, {"KAFKA_BOOTSTRAP_SERVERS": DEAD})
    (tmp_path / "file.csv").write_text("id\n1\n")
    await children.watch(await children.start("produce", str(tmp_path / "file.csv")))
    first, second = said[0].splitlines()
    assert first == f"produce {tmp_path / 'file.csv'} ended, exit code 1:"
    assert second.startswith("  Error: Kafka (KAFKA_BOOTSTRAP_SERVERS): 127.0.0.1:")


def test_a_checkout_that_was_moved_is_noticed_and_installed_again(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/.installed").touch()
    for place, made_again in ((tmp_path, False), (Path("/elsewhere"), True)):
        (tmp_path / ".venv/bin/pip").write_text(f"#!{place}/.venv/bin/python3\n")
        told = subprocess.run(
            ["make", "--dry-run", "install"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        assert ("-m venv --clear .venv" in told) == made_again


def test_the_readme_shows_what_the_demo_shows() -> None:
    shown = re.findall(r"^ {4}(.*(?:scored|flag:).*)$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert [bool(re.search(pattern, line)) for pattern, line in zip((COUNTS, FLAG), shown, strict=True)] == [
        True,
        True,
    ]


def test_a_file_that_is_not_there_is_named() -> None:
    with demo(Path("unused"), "--data", "no-such-file.csv") as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 2
    assert "no-such-file.csv" in output
