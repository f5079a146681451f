"""The state of a data folder's servers that is kept between commands: ports and pids."""

import json
import random
import socket
from collections import defaultdict
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from infra.embedded.processes import ServiceError

# Below the ports that systems hand to outgoing connections (32768 on Linux, 49152 elsewhere), so
# that a stopped server seldom finds its port taken by some client.
_PORTS = range(20_000, 32_000)
_ATTEMPTS = 200
_LOCK_SECONDS = 180.0
STATE_FILE = "services.json"
_LOCK_FILE = "services.lock"


@dataclass(slots=True)
class State:
    """The ports chosen and the processes started in one data folder."""

    path: Path
    ports: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """0 for one that was not chosen yet."""
    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, datadir: Path) -> "State":
        """The saved state of a data folder, an empty one where nothing was started yet.

        Raises:
            ServiceError: The file is there and is not ours.
        """
        path = datadir / STATE_FILE
        try:
            saved = json.loads(path.read_text())
            return cls(path, ports=defaultdict(int, saved["ports"]), pids=dict(saved["pids"]))
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{path} cannot be read ({error}); remove it to choose new ports") from error

    def save(self) -> None:
        """Write the state so that a reader sees the old one or the new one, never half."""
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({"ports": self.ports, "pids": self.pids}, indent=2) + "\n")
        draft.replace(self.path)

    def choose_port(self, name: str) -> None:
        """Keep the port of this name if it is free, otherwise choose another."""
        if not self.ports[name] or not is_free(self.ports[name]):
            self.ports[name] = free_port(taken=self.ports.values())


@contextmanager
def locked(datadir: Path) -> Iterator[None]:
    """Hold the data folder's lock; it ends with the process, however that ends.

    Raises:
        ServiceError: Another command held it for three minutes.
    """
    path = datadir / _LOCK_FILE
    try:
        with FileLock(path, timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise ServiceError(f"another command has held {path} for {_LOCK_SECONDS:.0f} s") from None


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of localhost."""
    with socket.socket() as probe, suppress(OSError):
        # As the servers do: connections of a former run may linger in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False


def free_port(taken: Container[int] = ()) -> int:
    """A port of localhost that is free and not among those taken.

    Raises:
        ServiceError: None was found.
    """
    for port in random.SystemRandom().sample(_PORTS, _ATTEMPTS):
        if port not in taken and is_free(port):
            return port
    raise ServiceError(f"no free port found between {_PORTS.start} and {_PORTS.stop}")
