"""Detectors of installed packages: found by their entry points, looked at before they are used."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.runtime.settings import SettingsError
from schemas.scored import VERDICT_NAMES
from stream_app.app import create_app
from stream_app.detectors import DETECTORS, detector_of, is_known, rule_of, verdict_names
from stream_app.settings import Settings
from tests.support.velocity import MODULE

DECLARED = "[txnwatch.detectors]\nvelocity = txnwatch_velocity:Velocity\n"


def install(folder: Path, package: str = "txnwatch-velocity", declared: str = DECLARED) -> None:
    """What an installer leaves of a package beside its modules."""
    info = folder / f"{package.replace('-', '_')}-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
    (info / "entry_points.txt").write_text(declared)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the package of docs/detectors.md, as one that is installed."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "txnwatch_velocity.py").write_text(MODULE)
    install(tmp_path)
    yield tmp_path
    sys.modules.pop("txnwatch_velocity", None)


@pytest.mark.usefixtures("site")
def test_one_is_loaded_when_it_is_named() -> None:
    assert is_known("velocity")
    create_app(Settings.load())
    assert "txnwatch_velocity" not in sys.modules

    ensemble = create_app(
        Settings.load(detector="velocity", shadow_detectors="odds")
    ).deciders.by_settings.ensemble

    rule = rule_of(ensemble)
    assert (rule.detector, rule.sentence) == (
        "velocity",
        "A payment is flagged from the 5th within 10 minutes on.",
    )
    assert rule.words.keys() == {*DETECTORS, "velocity"}
    assert verdict_names(ensemble.all) - verdict_names() == {"payments", "minutes"}


def test_none_is_known_that_nobody_has_installed() -> None:
    assert not is_known("velocity")
    with pytest.raises(KeyError):
        detector_of("velocity")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("import struct", "import nothing_of_this_name", "txnwatch_velocity:Velocity cannot be loaded: "),
        ("class Velocity(Detector[Times])", "class Velocity", "is no subclass of stream_app.scoring.Det"),
        ('NAME = "velocity"', 'NAME = "speed"', "NAME is 'speed', and its entry point's name 'velocity'"),
        ("VERSION = 1", 'VERSION = "1"', "VERSION is '1', and no int"),
        ("frozen=True", "frozen=False", "EVIDENCE is not frozen"),
        ("msgspec.Struct, frozen=True", "dict", "EVIDENCE is no subclass of msgspec.Struct"),
        *[
            ("    payments: Annotated", f"    {name}: Annotated", f"EVIDENCE has {name}, which verdicts")
            for name in sorted(VERDICT_NAMES)
        ],
        ("SETTINGS = Settings", "SETTINGS = dict", "SETTINGS is no subclass of infra.runtime.settings.Win"),
        ("    WORDS = Words(", "    WORDS = dict(", "WORDS are no schemas.rule.Words"),
        ("STATE = StateFormat(", "STATE = dict(", "STATE is no stream_app.scoring.StateFormat"),
        ("fresh=()", "fresh=(1.5,)", "with a user who is new: error: required argument is not an integer"),
        ("    return struct.unpack(", "    return (1,) + struct.unpack(", "does not come back from its"),
        ("settings.velocity_payments\n", 'float("nan")\n', "its threshold is nan"),
        ("settings.velocity_payments\n", '"5"\n', "its threshold is '5', which is no number"),
        ("return payments, None", "return None, None", "its score is None, which is no number"),
        ("return payments, None", "return 9.0, 'much'", "its evidence is of str, not of its EVIDENCE"),
        ("payments = 1 +", "payments = window.amounts[0] +", "with a user who is new: IndexError: "),
        ("payments = 1 +", "payments = window.push(9, bytes(20), 9) or 1 +", "score_one changes the window"),
        ("payments = 1 +", "payments = __import__('time').perf_counter_ns() +", "asked again"),
        ("def sentence(self)", "def phrase(self)", "with a user who is new: NotImplementedError"),
    ],
)  # fmt: skip
def test_each_fault_is_said_before_anything_runs(site: Path, before: str, after: str, said: str) -> None:
    assert before in MODULE
    (site / "txnwatch_velocity.py").write_text(MODULE.replace(before, after, 1))

    with pytest.raises(SettingsError) as refused:
        detector_of("velocity")

    assert refused.value.message.startswith("detector velocity of txnwatch-velocity 1.0.0: ")
    assert said in refused.value.message


def test_several_faults_are_a_line_each(site: Path) -> None:
    faulty = MODULE.replace("VERSION = 1", "VERSION = None").replace("frozen=True", "frozen=False")
    (site / "txnwatch_velocity.py").write_text(faulty)

    with pytest.raises(SettingsError) as refused:
        detector_of("velocity")

    assert len(refused.value.message.splitlines()) == 2


def test_two_packages_with_one_name_are_refused(site: Path) -> None:
    install(site, "other-velocity")

    with pytest.raises(SettingsError, match=r"other-velocity 1\.0\.0 and txnwatch-velocity 1\.0\.0 have"):
        detector_of("velocity")


def test_a_package_cannot_take_the_name_of_one_that_comes_with_the_program(site: Path) -> None:
    install(site, "better-odds", "[txnwatch.detectors]\nodds = txnwatch_velocity:Velocity\n")

    assert detector_of("odds").__class__.__module__.startswith("stream_app.")
