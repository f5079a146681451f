"""Fixtures that every folder of tests shares."""

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

from infra.embedded.cluster import Addresses
from infra.runtime.aiokafka_changes import install
from infra.runtime.settings import Settings
from tests.support import ending
from tests.support.faults.outages import Services
from tests.support.faults.rig import Rig, rig
from tests.support.services import (
    Choice,
    choose,
    compile_less,
    copied_database,
    embedded_datadir,
    empty_redis_database,
    fresh_database,
    fresh_topics,
    installation_variables,
    running,
)
from tests.support.time_limits import TimeLimits

# A machine that is busy is no failure.
hypothesis.settings.register_profile(
    "txnwatch", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("txnwatch")

_CHOICE = pytest.StashKey[Choice]()

_MEANING: dict[Choice, str] = {
    "environment": "the ones that the environment names",
    "containers": "containers, since a Docker engine answers",
    "embedded": "embedded, since no Docker engine answers",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the fault runs, and of the page that is watched while much flows."""
    group = parser.getgroup("faults")
    group.addoption("--faults-file", help="Append what each fault run came to, a JSON line a run.")
    group.addoption("--faults-seed", type=int, help="First seed of the fault runs; random unless given.")
    group.addoption(
        "--faults-count", type=int, default=20, help="How often each step is killed in the slow runs."
    )
    parser.getgroup("goldens").addoption(
        "--update-goldens",
        action="store_true",
        help="Write what is compared with tests/goldens as it is now.",
    )
    parser.getgroup("browser").addoption("--old-client", help="The folder of the built old web client.")
    parser.getgroup("browser").addoption(
        "--page-seconds",
        type=int,
        default=60,
        help="How long the page is watched at 10,000/s (and --timeout longer).",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the services and the fault runs' seed once, before any test."""
    ending.install()
    compile_less()
    install()  # as every command does: an application of a test is to stand on the same
    config.pluginmanager.register(TimeLimits())
    config.stash[_CHOICE] = choose()
    if config.option.faults_seed is None:
        config.option.faults_seed = random.SystemRandom().randrange(10**6)


def pytest_runtest_setup() -> None:
    """Install the handlers again: a command that runs in this process leaves the default ones."""
    ending.install()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which services the tests run on, and how to have the same fault runs again."""
    return [
        f"services: {_MEANING[config.stash[_CHOICE]]}",
        f"fault runs: --faults-seed {config.option.faults_seed}",
    ]


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Iterator[Addresses]:
    """The addresses of Kafka, Postgres and Redis, started once for all tests that ask."""
    with running(pytestconfig.stash[_CHOICE]) as addresses:
        yield addresses


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def schema(services: Addresses) -> AsyncIterator[str]:
    """The URL of a migrated database that nobody connects to: copying it takes less than migrating."""
    async with fresh_database(services.postgres) as url:
        yield url


@pytest.fixture
async def database(schema: str) -> AsyncIterator[str]:
    """The URL of a migrated database of this test's own."""
    async with copied_database(schema) as url:
        yield url


@pytest.fixture
async def topics(services: Addresses) -> AsyncIterator[Settings]:
    """Settings with topics of this test's own, which exist with four partitions each."""
    async with fresh_topics(services.kafka) as settings:
        yield settings


@pytest.fixture
def redis_url(services: Addresses) -> Iterator[str]:
    """The URL of an empty Redis database of this test's own."""
    with empty_redis_database(services.redis) as url:
        yield url


@pytest.fixture(scope="module")
def own_services() -> Iterator[Services]:
    """Services that the tests of a module alone use, as they are broken there; all run when a test ends."""
    with embedded_datadir() as datadir:
        yield Services(datadir)


@pytest.fixture
async def own_ground(own_services: Services, tmp_path: Path) -> AsyncIterator[Rig]:
    """An installation of this test's own on them."""
    async with rig(own_services.addresses, tmp_path) as one:
        yield one


@pytest.fixture
def environment(topics: Settings, database: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Every variable of one installation of this test's own, for commands run beside the test."""
    return installation_variables(topics, database, redis_url, tmp_path / "datadir")
