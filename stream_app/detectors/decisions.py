"""Decisions files: which detectors decide, and what history taught each, as TOML."""

import stat
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from infra.runtime.settings import SettingsError
from stream_app.detectors import DETECTORS, detector_class, is_known, names_in
from stream_app.scoring import Detector

_MOST_BYTES = 1 << 20
_OF_TABLE = "detector"


class Decisions(msgspec.Struct, frozen=True):
    """What a decisions file says."""

    detector: str = ""
    """What decides, as TXNWATCH_DETECTOR; empty: what that says."""
    profiles: Mapping[str, msgspec.Struct] = {}
    """By the detector's name."""


def read_decisions(path: Path) -> Decisions:
    """Read and check a file.

    Raises:
        SettingsError: It cannot be read or used; the message names file, table and key.
    """
    text = _text(path)
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    detector = found.pop(_OF_TABLE, "")
    if not isinstance(detector, str):
        raise SettingsError(f'{path}: {_OF_TABLE}: not a text such as {_OF_TABLE} = "odds"')
    for name in names_in(detector):
        _known(path, _OF_TABLE, name)
    return Decisions(detector, {name: _profile(path, name, table) for name, table in found.items()})


def decisions_of(file: str, detector: str, given: Collection[str]) -> Decisions:
    """What the settings `decisions` and `detector` say together; `given` names those that are set.

    Raises:
        SettingsError: They contradict each other, or the file cannot be used.
    """
    decisions = read_decisions(Path(file)) if file else Decisions()
    chosen = decisions.detector or detector
    if "detector" in given and names_in(chosen) != names_in(detector):
        raise SettingsError(f"TXNWATCH_DETECTOR: the file of TXNWATCH_DECISIONS has {chosen} instead")
    return Decisions(chosen, decisions.profiles)


def write_decisions(path: Path, decisions: Decisions) -> None:
    """Write what `read_decisions` reads.

    Raises:
        OSError: The file cannot be written.
    """
    tables = {
        name: _without_none(msgspec.to_builtins(profile)) for name, profile in decisions.profiles.items()
    }
    path.write_text(tomli_w.dumps({_OF_TABLE: decisions.detector, **tables}), encoding="utf-8")


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SettingsError(f"{path}: not a file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    if len(data) > _MOST_BYTES:
        raise SettingsError(f"{path}: longer than {_MOST_BYTES:,} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None


def _profile(path: Path, name: str, table: Any) -> msgspec.Struct:
    profile = _known(path, name, name).PROFILE
    if profile is None:
        raise SettingsError(f"{path}: [{name}]: {name} has no profile")
    wrong = _wrong(table, profile)
    if wrong is None:
        return msgspec.convert(table, profile)
    what, place = wrong
    field, any_key, rest = place.partition("[...]")
    if any_key:  # msgspec does not say which
        named = next(
            key for key, one in table[field].items() if _wrong({**table, field: {key: one}}, profile)
        )
        place = f"{field}.{named}{rest}"
    raise SettingsError(f"{path}: [{name}]{place and f' {place}'}: {what}")


def _wrong(table: Any, profile: type[msgspec.Struct]) -> tuple[str, str] | None:
    """What keeps a table from being a profile, and where; None: nothing."""
    try:
        msgspec.convert(table, profile)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at ")
        return what, place.rpartition("$")[2].rstrip("`").lstrip(".")
    return None


def _known(path: Path, place: str, name: str) -> type[Detector[Any]]:
    if not is_known(name):
        raise SettingsError(f"{path}: {place}: there is no detector {name}; there is {', '.join(DETECTORS)}")
    return detector_class(name)


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not known is left out."""
    if not isinstance(value, dict):
        return value
    return {key: _without_none(one) for key, one in value.items() if one is not None}
