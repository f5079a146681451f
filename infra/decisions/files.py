"""Decisions files: rule sets in TOML."""

import stat
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from infra.runtime.settings import SettingsError
from schemas.rules.rule_set import RuleSet, RuleSetError
from schemas.rules.toml import read_rule_set

MOST_BYTES = 1 << 20
"""A rule set is one record in Kafka."""

Check = Callable[[RuleSet], None]


def read_file(path: Path) -> RuleSet:
    """The rule set of a file; what only detectors know, such as their profiles, is not looked at.

    Raises:
        SettingsError: It cannot be read or used; the message names the file and the place in it.
    """
    try:
        return read_rule_set(_text(path), str(path))
    except RuleSetError as error:
        raise SettingsError(str(error)) from None


def read_checked(path: Path) -> RuleSet:
    """The rule set of a file, once all is known to be right with it.

    Raises:
        SettingsError: It is not; the message names the file and the place in it.
    """
    rule_set = read_file(path)
    try:
        check_detectors(rule_set)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.message}") from None
    return rule_set


def check_detectors(rule_set: RuleSet) -> None:
    """Put a rule set to whatever knows the detectors: the entry points of `txnwatch.rule_checks`.

    Raises:
        SettingsError: It names a detector that there is not, or has a profile that is none.
    """
    for point in entry_points(group="txnwatch.rule_checks"):
        check: Check = point.load()
        check(rule_set)


def _text(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SettingsError(f"{path}: not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise SettingsError(f"{path}: longer than {MOST_BYTES:,} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 at byte {error.start}") from None
