"""The embedded Kafka with listeners for TLS, for certificates of clients, and for logins."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from infra.embedded import processes
from infra.embedded.cluster import silent
from infra.embedded.kafka import Kafka
from infra.embedded.server import Report
from infra.embedded.state import free_port
from tests.support.certificates import Authority
from tests.support.services import embedded_datadir

USER, PASSWORD = "txnwatch", "pass word:@/%"
_LISTENERS = {"tls": "SSL", "mutual": "SSL", "scram": "SASL_SSL", "login": "SASL_PLAINTEXT"}
_LOGINS = (
    "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
)


@dataclass(frozen=True, slots=True)
class SecureKafka(Kafka):
    """One listener for each way in, named by `_LISTENERS`; `kafka` is the one without any protection."""

    all_ports: ClassVar[tuple[str, ...]] = (*Kafka.port_names, *_LISTENERS)

    def at(self, listener: str) -> str:
        """The bootstrap address of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def prepare(self, report: Report) -> tuple[str, ...]:
        """As the plain one, with more listeners, and a user of SCRAM."""
        command = Kafka.prepare(self, report)
        file = self.folder / "server.properties"
        lines = dict(line.split("=", 1) for line in file.read_text().splitlines() if "=" in line)
        for name, protocol in _LISTENERS.items():
            for key in ("listeners", "advertised.listeners"):
                lines[key] += f",{name.upper()}://{self.at(name)}"
            lines["listener.security.protocol.map"] += f",{name.upper()}:{protocol}"
        lines |= self._protection()
        file.write_text("\n".join(f"{key}={value}" for key, value in lines.items()))
        shutil.rmtree(self.folder / "data")
        tool = ("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAA", "-c", file.name)
        user = f'SCRAM-SHA-512=[name="{USER}",password="{PASSWORD}"]'
        java = command[: command.index(self.marker)]
        processes.run(self.name, (*java, *tool, "--add-scram", user), self.folder, self.log)
        return command

    def _protection(self) -> dict[str, str]:
        scram, plain = _LOGINS
        return {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": "broker.pem",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": "ca.pem",
            "listener.name.mutual.ssl.client.auth": "required",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.scram.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.login.plain.sasl.jaas.config": plain,
        }


@dataclass(slots=True)
class RunningKafka:
    """A broker that runs; its certificate and the authorities that it trusts can be changed."""

    server: SecureKafka
    command: tuple[str, ...]
    pid: int = 0

    def at(self, listener: str) -> str:
        """The bootstrap address of a listener."""
        return self.server.at(listener)

    def trust(self, *authorities: Authority) -> None:
        """At its next start, have a certificate by the last of these, and trust clients of all of them."""
        (self.server.folder / "broker.pem").write_bytes(authorities[-1].give("broker"))
        (self.server.folder / "ca.pem").write_bytes(b"".join(one.pem for one in authorities))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        server = self.server
        self.pid = processes.start(self.command, server.folder, server.log)
        deadline = time.monotonic() + server.start_seconds
        while not server.answers():
            if processes.find(self.pid, server.marker) is None or time.monotonic() > deadline:
                raise processes.failure(server.name, "did not start", server.log)
            time.sleep(processes.POLL_SECONDS)

    def stop(self) -> None:
        """Stop it, if it runs."""
        if process := processes.find(self.pid, self.server.marker):
            processes.stop(process, self.server.stop_signal, self.server.stop_seconds)


@contextmanager
def secure_kafka(authority: Authority) -> Iterator[RunningKafka]:
    """A broker whose certificate is by this authority, stopped at the end."""
    with embedded_datadir() as datadir:
        folder = datadir / "kafka"
        folder.mkdir()
        ports: dict[str, int] = {}
        for name in SecureKafka.all_ports:
            ports[name] = free_port(ports.values())
        server = SecureKafka(folder, datadir / "kafka.log", ports)
        kafka = RunningKafka(server, server.prepare(silent))
        kafka.trust(authority)
        try:
            kafka.start()
            yield kafka
        finally:
            kafka.stop()
