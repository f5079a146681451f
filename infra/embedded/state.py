"""What is remembered of a data folder's services between commands: ports and pids."""

import contextlib
import fcntl
import json
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.embedded.processes import ServiceError

# Below the ports that systems hand to outgoing connections (32768 on Linux, 49152 elsewhere), so
# that a stopped service seldom finds its port taken by some client.
_PORTS = range(20_000, 32_000)
_ATTEMPTS = 200
_LOCK_SECONDS = 180.0
_LOCK_POLL_SECONDS = 0.05


@dataclass(slots=True)
class State:
    """The ports chosen and the processes started in one data folder."""

    path: Path
    ports: dict[str, int] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "State":
        """The saved state, an empty one where nothing was started yet.

        Raises:
            ServiceError: The file is there and is not ours.
        """
        try:
            saved = json.loads(path.read_text())
            return cls(path, ports=dict(saved["ports"]), pids=dict(saved["pids"]))
        except FileNotFoundError:
            return cls(path)
        except (ValueError, KeyError, TypeError) as error:
            raise ServiceError(f"{path} cannot be read ({error}); remove it to choose new ports") from error

    def save(self) -> None:
        """Write the state so that a reader sees the old one or the new one, never half."""
        draft = self.path.with_suffix(".new")
        content = {key: value for key, value in asdict(self).items() if key != "path"}
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.path)

    def port(self, name: str) -> int:
        """The service's port: the one it had if it is free, else a new one, remembered."""
        known = self.ports.get(name)
        if known is None or not _is_free(known):
            self.ports[name] = _free_port(taken=set(self.ports.values()))
        return self.ports[name]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the data folder's lock; it ends with the process, however that ends.

    Raises:
        ServiceError: Another command held it for three minutes.
    """
    with path.open("w") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _acquired(lock.fileno()):
            if time.monotonic() > deadline:
                raise ServiceError(f"another command has held {path} for {_LOCK_SECONDS:.0f} s")
            time.sleep(_LOCK_POLL_SECONDS)
        yield


def _acquired(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: connections of a former run may linger in TIME_WAIT.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    chooser = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        port = chooser.choice(_PORTS)
        if port not in taken and _is_free(port):
            return port
    raise ServiceError(f"no free port found between {_PORTS.start} and {_PORTS.stop}")
