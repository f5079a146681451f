"""A rule's version: eight digits that change with the detector, its version and each of its settings."""

from fractions import Fraction

import msgspec
import pytest

from stream_app.detectors import rule_of
from stream_app.detectors.rolling_mean import RollingMean
from stream_app.state.rules import KnownRule
from tests.support.detectors import rolling_mean


class Profile(msgspec.Struct, frozen=True):
    """What history taught a detector."""

    limit: int


class Later(RollingMean):
    """The same detector in a later version."""

    VERSION = RollingMean.VERSION + 1


DEFAULT = rolling_mean()


@pytest.mark.parametrize(
    "other",
    [
        rolling_mean(size=21),
        rolling_mean(minimum=9),
        rolling_mean(factor=Fraction(11, 2)),
        Later(DEFAULT.settings),
    ],
)
def test_every_change_of_a_rule_is_another_version(other: RollingMean) -> None:
    assert other.rule != DEFAULT.rule


def test_the_same_rule_has_the_same_version_wherever_it_runs() -> None:
    assert rolling_mean(factor=Fraction(10, 2)).rule == DEFAULT.rule
    assert rule_of(DEFAULT).rule == DEFAULT.rule
    assert len(DEFAULT.rule) == 8


def test_the_default_rule_is_what_it_was() -> None:
    """Verdicts name it: by this version they are known to be of the same rule, whatever the program's."""
    assert DEFAULT.rule == "20ccef12"


def test_what_history_taught_a_detector_is_of_its_rule() -> None:
    one, other = (RollingMean(DEFAULT.settings, Profile(limit)) for limit in (5, 6))

    assert len({DEFAULT.rule, one.rule, other.rule}) == 3
    assert RollingMean(DEFAULT.settings, Profile(5)).rule == one.rule


def test_what_has_changed_is_said_with_the_former_values() -> None:
    before, now = KnownRule.of(rule_of(DEFAULT)), KnownRule.of(rule_of(rolling_mean(size=5, minimum=3)))

    assert now.changes(before) == "window_size 20 -> 5, window_minimum 10 -> 3"
    assert KnownRule.of(rule_of(Later(DEFAULT.settings))).changes(before) == "version 1 -> 2"
    assert now.changes(now) == ""


def test_a_rule_is_known_again_and_what_a_later_version_kept_otherwise_is_not() -> None:
    now = KnownRule.of(rule_of(DEFAULT))

    assert KnownRule.decode(now.encode()) == now
    for unknown in (None, b"", b"{}", b"\xff", now.encode().replace(b'"format":1', b'"format":2')):
        assert KnownRule.decode(unknown) is None
