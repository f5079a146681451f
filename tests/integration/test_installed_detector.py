"""The package of docs/detectors.md, built and installed as it is written there: a worker decides by it."""

import json
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.installation import Installation, json_of, until
from tests.support.source import ROOT
from tests.support.traffic import traffic
from tests.support.velocity import write_package


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The interpreter of a new environment, which sees the packages of this one and has that one more."""
    venv.create(tmp_path / "fresh", with_pip=True)
    python = str(tmp_path / "fresh" / "bin" / "python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(subprocess.check_output([python, "-c", where], text=True).strip())
    (site / "shared.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(write_package(tmp_path))], check=True, cwd=tmp_path)
    return python


@contextmanager
def worker(python: str, settings: dict[str, str], folder: Path) -> Iterator[None]:
    command = [python, "-c", "from infra.cli import main; main()", "worker"]
    with subprocess.Popen(command, env=settings, cwd=folder, stdout=sys.stderr) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()


@pytest.mark.slow
async def test_a_worker_decides_by_a_package_that_was_built_and_installed(
    environment: dict[str, str], python: str, tmp_path: Path
) -> None:
    installation = Installation(environment)
    quick = traffic(12, users=1)  # a second apart
    slow = [
        replace(one, txn_date=f"2024-01-02T{at:02d}:00:00Z") for at, one in enumerate(traffic(12, users=2))
    ]
    await installation.send_transactions([*quick, *slow])
    settings = {
        **installation.environment,
        "TXNWATCH_DETECTOR": "rolling_mean,velocity",
        "TXNWATCH_VELOCITY_PAYMENTS": "4",
        "TXNWATCH_DATADIR": str(tmp_path / "data"),
        "TXNWATCH_SESSION_SECONDS": "6",
    }

    with worker(python, settings, tmp_path):
        await until(installation.finished)
        status, text = await installation.get("/detector/")

    anomalies = json_of(await installation.read("TXNWATCH_ANOMALIES_TOPIC"))
    flags = {flag["id"]: flag["meta_data"] for flag in anomalies}
    assert flags.keys() == {one.id for one in quick[3:]}
    assert {flag["detector"] for flag in flags.values()} == {"velocity"}
    assert {flag["payments"] for flag in flags.values()} == {4, 5}
    assert (status, json.loads(text)["detector"]) == (200, "rolling_mean,velocity")
