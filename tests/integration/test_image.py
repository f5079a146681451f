"""The image, built and run where a container engine answers; `TEST_IMAGE` names one that is ready."""

import json
import os
import subprocess
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from tests.support.services import docker_answers
from tests.support.source import ROOT

pytestmark = pytest.mark.slow
# As Kubernetes and the compose file run it, by a user that the image does not know.
LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--user", "12345")  # noqa: S108 - the container's
INSTALLS = ("pip", "ensurepip", "setuptools", "wheel")
LOOK = f"""
import importlib.util, json, os, pathlib, stat

def gains(path):
    return path.is_file() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)

files = [path for folder in ("/usr", "/opt") for path in pathlib.Path(folder).rglob("*")]
data = pathlib.Path(os.environ["TXNWATCH_DATADIR"])
(data / "windows").mkdir()
bill = json.loads(pathlib.Path("/opt/txnwatch/sbom.cdx.json").read_text())
print(json.dumps({{
    "uid": os.getuid(),
    "privileged": [str(path) for path in files if gains(path)],
    "installing": [name for name in {INSTALLS} if importlib.util.find_spec(name)],
    "bill": {{one["name"]: one["version"] for one in bill["components"]}},
}}))
"""


@pytest.fixture(scope="module")
def image() -> str:
    """The image of this checkout."""
    if not docker_answers():
        pytest.skip("no Docker engine answers")
    if ready := os.environ.get("TEST_IMAGE"):
        return ready
    file, tag = ROOT / "infra" / "docker" / "Dockerfile", "txnwatch:test"
    subprocess.run(["docker", "build", "--file", file, "--tag", tag, ROOT], check=True)
    return tag


def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    command = ["docker", "run", "--rm", *LOCKED, *options, image, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_it_has_every_command(image: str) -> None:
    assert run(image, "--version") == f"txnwatch, version {version('txnwatch')}\n"
    shown = run(image, "--help").partition("Commands:\n")[2].splitlines()

    absent = {"demo", "services"}  # of the extra "embedded"
    commands = {point.name for point in entry_points(group="txnwatch.commands")}
    assert {
        line.split()[0] for line in shown if line.startswith("  ") and line[2] != " "
    } == commands - absent


def test_it_has_nothing_that_installs_or_gains_privileges_and_a_bill_of_what_it_has(image: str) -> None:
    found = json.loads(run(image, "-c", LOOK, options=("--entrypoint", "python")))

    assert found["uid"] == 12345  # whose data folder it could write to
    assert (found["privileged"], found["installing"]) == ([], [])
    assert set(INSTALLS) & set(found["bill"]) == set()
    for name in ("aiokafka", "fastavro", "grpcio-tools", "joserfc", "opentelemetry-sdk"):
        assert found["bill"][name] == version(name)


def test_a_folder_that_is_anothers_is_named(image: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    mounted = f"{tmp_path}:/var/lib/txnwatch/data"
    command = ["docker", "run", "--rm", *LOCKED, "--volume", mounted, image, "worker"]

    # Of its exit code nothing: of a container that is removed at once, Podman's Docker interface says 0.
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    folder = f"/var/lib/txnwatch/data is uid {tmp_path.stat().st_uid}'s, and uid 12345 may not write to it"
    assert f"Error: TXNWATCH_DATADIR: {folder}" in ended.stderr
