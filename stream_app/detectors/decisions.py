"""Decisions files: which detectors decide, and what history taught each, as TOML."""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import msgspec
import tomli_w

from infra.runtime.settings import SettingsError
from stream_app.detectors import DETECTORS

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
    for name in (one.strip() for one in detector.split(",") if one.strip()):
        _known(path, _OF_TABLE, name)
    return Decisions(detector, {name: _profile(path, name, table) for name, table in found.items()})


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
    try:
        made: msgspec.Struct = msgspec.convert(table, profile)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        key = place.rstrip("`").lstrip(".")
        raise SettingsError(f"{path}: [{name}]{key and f' {key}'}: {what}") from None
    return made


def _known(path: Path, place: str, name: str) -> Any:
    if name not in DETECTORS:
        raise SettingsError(f"{path}: {place}: there is no detector {name}; there is {', '.join(DETECTORS)}")
    return resolve_name(DETECTORS[name])


def _without_none(value: Any) -> Any:
    """TOML has no null: what is not known is left out."""
    if not isinstance(value, dict):
        return value
    return {key: _without_none(one) for key, one in value.items() if one is not None}
