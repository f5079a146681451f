"""The tests of other people's clients fetch these, and run when asked for alone: `make test-clients`."""

import pytest

from tests.support.foreign_clients import Installed

collect_ignore = ["programs"]  # what they import is fetched by the tests that run them


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave them out of every other run."""
    if "clients" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("clients")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The programs of other people's clients."""
    return Installed(tmp_path_factory.mktemp("clients"))
