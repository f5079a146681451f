"""Detectors of installed packages: entry points of the group `txnwatch.detectors`, loaded only when named."""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from infra.runtime.settings import SettingsError
from stream_app.detectors.inspection import faults_of
from stream_app.scoring import Detector

GROUP = "txnwatch.detectors"


def entry_points_of(name: str) -> list[EntryPoint]:
    """The entry points of this name: none, one, or those of several packages."""
    return [*entry_points(group=GROUP, name=name)]


def load(name: str) -> type[Detector[Any]]:
    """The detector that an installed package has under this name.

    Raises:
        KeyError: No package has one.
        SettingsError: Several have one, or it cannot be used; a line for each fault.
    """
    found = entry_points_of(name)
    if not found:
        raise KeyError(name)
    if len(found) > 1:
        packages = " and ".join(sorted(_package(one) for one in found))
        raise SettingsError(f"detector {name}: {packages} have one of this name: uninstall all but one")
    [entry_point] = found
    of = f"detector {name} of {_package(entry_point)}"
    try:
        loaded = entry_point.load()
    except Exception as error:
        raise SettingsError(f"{of}: {entry_point.value} cannot be loaded: {error!r}") from error
    if faults := faults_of(name, loaded):
        raise SettingsError("\n".join(f"{of}: {fault}" for fault in faults))
    return loaded  # type: ignore[no-any-return]  # it is a detector, as far as can be seen


def _package(entry_point: EntryPoint) -> str:
    distribution = entry_point.dist
    return f"{distribution.name} {distribution.version}" if distribution else entry_point.value
