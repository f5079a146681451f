"""Fixtures of the fault runs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.support.faults.ledger import Ledger
from tests.support.faults.rig import Rig, rig


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    """Where each run is noted, with the session's seed."""
    path = pytestconfig.getoption("faults_file")
    return Ledger(None if path is None else Path(path), pytestconfig.getoption("faults_seed"))


@pytest.fixture
async def ground(services: Addresses, tmp_path: Path) -> AsyncIterator[Rig]:
    """An installation of this test's own."""
    async with rig(services, tmp_path) as one:
        yield one
