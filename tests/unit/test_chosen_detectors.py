"""Which detectors a worker runs: those of its settings and of its decisions file."""

from pathlib import Path

import pytest

from infra.runtime.settings import SettingsError
from schemas.rule import Rule
from schemas.rules.rule_set import RuleSpec
from stream_app.app import create_app
from stream_app.detectors import detector_of, rule_of
from stream_app.detectors.decisions import Decisions, read_decisions, write_decisions
from stream_app.detectors.odds.profile import Currency, Profile
from stream_app.settings import Settings
from stream_app.state.rules import KnownRule

PROFILE = Profile(threshold=700, currencies={"EUR": Currency("53.12")})


@pytest.fixture
def file(tmp_path: Path) -> str:
    write_decisions(tmp_path / "decisions.toml", Decisions("rolling_mean,odds", {"odds": PROFILE}))
    return str(tmp_path / "decisions.toml")


def rule(**settings: str) -> Rule:
    return rule_of(create_app(Settings.load(**settings)).deciders.by_settings.ensemble)


def test_what_decides_and_what_watches_is_said_each_by_itself() -> None:
    runs = rule(detector="odds , rolling_mean")
    watches = rule(shadow_detectors="odds")

    assert (runs.detector, runs.watching) == ("odds,rolling_mean", [])
    assert [one.detector for one in runs.deciding] == ["odds", "rolling_mean"]
    assert runs.sentence == " ".join(one.sentence for one in runs.deciding)
    assert runs.settings.keys() >= {"odds_row", "factor", "window_size"}
    assert (watches.detector, [one.detector for one in watches.watching]) == ("rolling_mean", ["odds"])
    assert watches.rule == rule().rule != runs.rule


def test_a_decisions_file_says_what_decides_and_what_history_taught_it(file: str) -> None:
    taught, untaught = rule(decisions=file), rule(detector="rolling_mean,odds")

    assert taught.detector == untaught.detector
    assert [one.has_profile for one in taught.deciding] == [False, True]
    assert taught.rule != untaught.rule
    assert detector_of("odds", PROFILE).rule in [one.rule for one in taught.deciding]
    assert KnownRule.of(taught).changes(KnownRule.of(untaught)).startswith("profile of odds none -> ")


def test_a_profile_is_also_for_a_detector_that_only_watches(tmp_path: Path) -> None:
    write_decisions(tmp_path / "decisions.toml", Decisions("", {"odds": PROFILE}))

    runs = rule(decisions=str(tmp_path / "decisions.toml"), shadow_detectors="odds")

    assert (runs.detector, [one.has_profile for one in runs.watching]) == ("rolling_mean", [True])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"detector": "odds"},
            "TXNWATCH_DETECTOR: the file of TXNWATCH_DECISIONS has rolling_mean,odds",
        ),
        ({"shadow_detectors": "odds"}, "detector odds: is to run twice"),
        ({"decisions": "/nowhere/decisions.toml"}, "/nowhere/decisions.toml: No such file or directory"),
    ],
)
def test_what_contradicts_itself_is_refused(file: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        rule(**{"decisions": file, **given})


def test_a_profile_of_another_detector_is_refused() -> None:
    with pytest.raises(SettingsError, match="detector rolling_mean: Profile is no profile of it"):
        detector_of("rolling_mean", PROFILE)


def test_rules_of_a_decisions_file_run_beside_its_detectors(tmp_path: Path) -> None:
    rules = [RuleSpec("large", 'amount > 100 && score("odds") > 0', severity="high")]
    file = tmp_path / "rules.toml"
    write_decisions(file, Decisions(rules=rules, shadow_detectors="odds"))

    ensemble = create_app(Settings.load(decisions=str(file))).deciders.by_settings.ensemble
    known = KnownRule.of(rule_of(ensemble))

    assert ensemble.rules is not None
    assert [*ensemble.rules.specs] == rules
    assert [one.NAME for one in ensemble.all] == ["rolling_mean", "odds"]
    assert read_decisions(file).rules == tuple(rules)
    assert known.changes(KnownRule.of(rule())) == f"rules none -> {ensemble.rules.hash}"
    assert "there are 1." in rule_of(ensemble).sentence
