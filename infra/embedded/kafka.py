"""Apache Kafka as a single node: broker and controller in one process, bound to localhost."""

import asyncio
import base64
import socket
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from infra.embedded import jars, processes
from infra.embedded.server import Report, Server
from infra.runtime.logs import silenced

# For what ends within a second: compiling it well takes longer than running it.
_SHORT = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
)
_PROPERTIES = Path(__file__).with_name("server.properties")


@dataclass(frozen=True, slots=True)
class Kafka(Server):
    """Apache Kafka; its ports are the broker's and the controller's."""

    name = "kafka"
    role = "kafka"
    port_names = ("kafka", "controller")
    start_seconds = 120.0
    # Long enough to close its logs properly: otherwise the broker checks all of them at its next start.
    stop_seconds = 20.0
    java_options: ClassVar[tuple[str, ...]] = ("-Xms128m", "-Xmx512m")

    @property
    def address(self) -> str:
        """The bootstrap address."""
        return f"127.0.0.1:{self.ports['kafka']}"

    @property
    def marker(self) -> str:
        """A property that Kafka does not read."""
        return f"-Dtxnwatch.folder={self.folder}"

    def fetch(self, report: Report) -> None:
        """Download the jars."""
        jars.classpath(report)

    def prepare(self, report: Report) -> tuple[str, ...]:
        """Write the settings, format the storage unless it is."""
        java = (str(jars.java()), "-cp", ":".join(map(str, jars.classpath(report))), *_LOGGING)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)  # it has transactions
        (self.folder / "server.properties").write_text(_PROPERTIES.read_text().format_map(self.ports))
        if not (self.folder / "data" / "meta.properties").exists():
            tool = ("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", _cluster_id())
            processes.run(
                self.name, (*java, *_SHORT, *tool, "-c", "server.properties"), self.folder, self.log
            )
        return (*java, *self.java_options, self.marker, "kafka.Kafka", "server.properties")

    def answers(self) -> bool:
        """Whether the broker serves requests and its controller has let it in."""
        with socket.socket() as probe:
            # Loading the client takes half a second, in which nothing is there to answer.
            if probe.connect_ex(("127.0.0.1", self.ports["kafka"])) != 0:
                return False
        with ThreadPoolExecutor(1) as pool:
            # A thread of its own, as the caller's may have a running event loop.
            return pool.submit(asyncio.run, has_broker(self.address)).result()


async def has_broker(bootstrap: str) -> bool:
    """Whether a broker answers there and its cluster has let it in; before that it accepts no topics."""
    from aiokafka.admin import AIOKafkaAdminClient  # noqa: PLC0415 - takes half a second
    from aiokafka.errors import KafkaError  # noqa: PLC0415

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    with silenced("aiokafka"):
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()


def _cluster_id() -> str:
    # A first bit of 0 makes the text start with a letter: one with a dash would be read as an option.
    first, *rest = uuid.uuid4().bytes
    return base64.urlsafe_b64encode(bytes([first & 0x7F, *rest])).decode().rstrip("=")
