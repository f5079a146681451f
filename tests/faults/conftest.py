"""Fixtures of the fault runs."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.embedded.cluster import Addresses
from tests.faults.ledger import Ledger
from tests.faults.rig import Rig, rig


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The session's first seed, printed with every failure as it is a fixture's value."""
    given: int | None = pytestconfig.getoption("faults_seed")
    return random.SystemRandom().randrange(10**6) if given is None else given


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config, seed: int) -> Ledger:
    """Where each run is noted."""
    path = pytestconfig.getoption("faults_file")
    return Ledger(None if path is None else Path(path), seed)


@pytest.fixture
async def ground(services: Addresses, tmp_path: Path) -> AsyncIterator[Rig]:
    """An installation of this test's own."""
    async with rig(services, tmp_path) as one:
        yield one
