"""What the peers need beside txnwatch's environment: made on demand, pinned, kept under `.venv-peers/`."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".venv-peers"
STREAMS = PEERS / "kafka-streams"


class UnavailableError(Exception):
    """A peer cannot run on this machine; the message says why."""


def peer_python(name: str) -> Path:
    """The Python of a virtual environment with what `peers/NAME.txt` lists, made if absent or outdated."""
    requirements = PEERS / f"{name}.txt"
    folder, stamp = ENVIRONMENTS / name, ENVIRONMENTS / f"{name}.stamp"
    wanted = _digest(requirements)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run(f"an environment for {name}", [sys.executable, "-m", "venv", folder])
        pip: list[str | Path] = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run(f"the packages of {name}", [*pip, "--requirement", requirements])
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def streams_command() -> list[str | Path]:
    """The command of the Kafka Streams peer, built by Maven if absent or outdated."""
    java, maven = _tool("java"), _tool("mvn")
    _tool("javac")
    target, stamp = ENVIRONMENTS / "kafka-streams", ENVIRONMENTS / "kafka-streams.stamp"
    wanted = _digest(STREAMS / "pom.xml", *sorted(STREAMS.rglob("*.java")))
    if not stamp.exists() or stamp.read_text() != wanted:
        target.mkdir(parents=True, exist_ok=True)
        quiet = [maven, "--quiet", "--batch-mode", "-Dstyle.color=never", f"-Dpeer.target={target}"]
        _run("the Kafka Streams peer", [*quiet, "--file", STREAMS / "pom.xml", "package"])
        stamp.write_text(wanted)
    return [
        java,
        "-Xmx1g",
        "-cp",
        f"{target / 'kafka-streams-peer-1.jar'}:{target / 'lib' / '*'}",
        "peer.Peer",
    ]


def pinned(name: str, package: str) -> str:
    """The version of a package in `peers/NAME.txt`."""
    lines = (PEERS / f"{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"no {name} is found: a JDK of 17 or newer and Maven are needed")
    return found


def _run(what: str, arguments: list[str | Path]) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if result.returncode:
        end = "\n".join((result.stdout + result.stderr).splitlines()[-10:])
        raise UnavailableError(f"{what} cannot be made:\n{end}")


def _digest(*files: Path) -> str:
    return hashlib.sha256(
        b"\0".join([sys.version.encode(), *(file.read_bytes() for file in files)])
    ).hexdigest()
