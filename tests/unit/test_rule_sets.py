"""Rule sets: what is read of files and JSON, and where in them what is wrong with it is."""

import json
import re
import shlex
from pathlib import Path

import msgspec
import pytest
import tomli_w
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.decisions.cli import rules
from schemas.rules.differences import differences
from schemas.rules.kept import KeptSince, features_of, sets_of
from schemas.rules.rule_set import MOST_RULES, RuleSet, RuleSetError, RuleSpec, rule_set_of
from schemas.rules.toml import read_rule_set
from tests.support.documents import blocks, commands
from tests.support.source import ROOT

GOOD = RuleSpec(
    "many small ones",
    'count("1h") >= 5 && amount < 20 && !in_list("trusted", merchant_id)',
    '{count("1h")} payments in an hour',
    severity="high",
    mode="10%",
)
SET = RuleSet("odds", "rolling_mean", (GOOD, RuleSpec("large", "amount > 99.995")), {"odds": {"factor": 2.5}})


def test_a_rule_set_comes_back_from_toml_and_from_json() -> None:
    assert read_rule_set(tomli_w.dumps(SET.plain()), "f") == SET
    assert rule_set_of(json.loads(SET.canonical())) == SET
    assert rule_set_of({}) == RuleSet()
    assert SET.hash == rule_set_of(SET.plain()).hash != RuleSet().hash


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("when = 'amount > 5 && cuntry'", 4, 23),
        ('  when="amount > 5 && cuntry"', 4, 23),
        ('"when" = "amount\\u0020> 5 &&\\tcuntry"', 4, 31),
        ("when = '''\namount > 5 &&\n cuntry'''", 6, 2),
        ("when = '''amount > 5 &&\n cuntry'''", 5, 2),
        ('when = """\namount > \\\n     5 && status != \\"a\\" &&\n  cuntry"""', 7, 3),
        ("severity = 'low' # when = 'x'\nwhen = 'amount > 5 && cuntry'", 5, 23),
        ("when = 'amount > 5 &&", 0, 0),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_fault_is_named_at_its_line_and_column_of_the_file(
    source: str, line: int, column: int, newline: str
) -> None:
    before, after = "# rules\n[[rules]]\nname = 'a'\n", "\n[[rules]]\nname = 'b'\nwhen = 'true'\n"
    text = (before + source + after).replace("\n", newline)

    with pytest.raises(RuleSetError) as refused:
        read_rule_set(text, "rules.toml")

    said = str(refused.value).splitlines()
    if not line:
        assert said[0].startswith("rules.toml: ")
        return
    place = f"rules.toml:{line}:{column}: "
    assert said[0] == f'{place}rule "a": when: there is no field cuntry; did you mean country'
    assert said[1] == text.splitlines()[line - 1]
    assert said[1][said[2].index("^") :].startswith("cuntry")


LITERALS = st.text("ab &\"'\\\n\té", max_size=8)


@settings(max_examples=60, deadline=None)
@given(LITERALS)
def test_a_place_is_that_of_the_value_however_it_is_written(text: str) -> None:
    """What tomli_w writes of it: the wrong name stands where the file has it."""
    when = f"{text} wrong"
    source = "[[rules]]\n" + tomli_w.dumps({"name": "a", "when": when}, multiline_strings=True)

    with pytest.raises(RuleSetError) as refused:
        read_rule_set(source, "f")

    [fault] = refused.value.faults
    place = str(refused.value).partition(" ")[0].split(":")
    if fault.at < len(when) and when[fault.at] not in "\"\\\n\té'":
        assert source.splitlines()[int(place[1]) - 1][int(place[2]) - 1] == when[fault.at]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ([], "not a table with the keys detector, rules, …"),
        ({"detector": 5}, 'detector: not a text such as detector = "odds"'),
        ({"rules": {}}, "rules: rules are written under [[rules]]"),
        ({"rules": [5]}, "rule 1: Expected `object`, got `int`"),
        ({"rules": [{"name": "a"}]}, 'rule "a": Object missing required field `when`'),
        ({"rules": [{"name": "", "when": "true"}]}, "rule 1: name: Expected `str` of length >= 1"),
        ({"rules": [{"name": "a", "when": "true", "then": 5}]}, "Object contains unknown field `then`"),
        ({"rules": [{"name": "a", "when": "true", "action": "stop"}]}, "action: Invalid enum value 'stop'"),
        ({"rules": [{"name": "a", "when": "true", "mode": "101%"}]}, "mode: live, shadow, off, or a share"),
        ({"rules": [{"name": "a", "when": "true", "message": "{amount"}]}, "message at 1: a brace without"),
        ({"rules": [{"name": "a", "when": "true"}] * 2}, "there is one of this name already"),
        ({"rules": [{"name": "a", "when": "true"}] * (MOST_RULES + 1)}, "there are 1,001, of 1,000"),
    ],
)
def test_what_is_wrong_with_a_rule_set_is_said(table: object, said: str) -> None:
    with pytest.raises(RuleSetError) as refused:
        rule_set_of(table)

    assert said in str(refused.value)


def test_every_rule_that_is_wrong_is_named() -> None:
    table = {"rules": [{"name": "a", "when": "5"}, {"name": "b", "when": "true"}, {"name": "c", "when": ">"}]}

    with pytest.raises(RuleSetError) as refused:
        rule_set_of(table)

    assert [(fault.name, fault.rule) for fault in refused.value.faults] == [("a", 0), ("c", 2)]


def test_all_rules_together_are_bounded_and_those_that_are_off_are_free() -> None:
    dear = " || ".join(["amount > 1"] * 160)
    many = [{"name": f"r{number}", "when": dear} for number in range(70)]
    spans, functions = (
        ("5m", "1h", "24h", "7d", "30d", "60d", "90d", "10m", "15m"),
        ("count", "sum", "max", "mean"),
    )
    asks = [f'{function}("{span}") > 1' for span in spans for function in functions]
    features = [{"name": one, "when": one} for one in asks]

    for those, said in (
        (many, "of 30,000 at the most"),
        (features, "of 4,096 at the most"),
    ):
        with pytest.raises(RuleSetError, match=said):
            rule_set_of({"rules": those})
        assert rule_set_of({"rules": [{**one, "mode": "off"} for one in those]}).rules


def test_differences_are_lines() -> None:
    new = msgspec.structs.replace(
        SET,
        shadow_detectors="",
        rules=(RuleSpec("new", "true"), msgspec.structs.replace(GOOD, mode="live")),
        profiles={"odds": {"factor": 3, "currencies": {"EUR": {"mean": "5.00"}}}},
    )

    assert differences(SET, SET) == []
    assert differences(SET, new) == [
        '~ shadow_detectors: "rolling_mean" -> ""',
        '- rule "large": flag, medium, live: when amount > 99.995',
        '+ rule "new": flag, medium, live: when true',
        '~ rule "many small ones": mode: "10%" -> "live"',
        "~ odds.factor: 2.5 -> 3",
        '~ odds.currencies.EUR.mean: none -> "5.00"',
    ]
    turned = msgspec.structs.replace(SET, rules=SET.rules[::-1])
    assert differences(SET, turned) == ["~ the order of the rules, in which a flag names its reasons"]


def test_differences_say_which_features_begin_to_be_kept() -> None:
    other = RuleSet(rules=(RuleSpec("new", 'sum("1h") > 5 && max("1h") > mean("2h")'),))

    lines = [line for line in differences(SET, other) if "feature" in line]

    kept = "sees everything from its decision on"
    assert lines == [f'+ feature max("1h"): {kept}', f'+ feature mean("2h"): {kept}']  # sums are with counts


def test_a_rule_that_was_turned_off_ends_what_it_asked_for() -> None:
    hour, month = RuleSpec("hour", 'count("1h") > 5'), RuleSpec("month", 'mean("30d") > 5')
    both, one = features_of([hour, month]), features_of([month])

    assert [*sets_of(3, [hour, month], [(7, "hour")])] == [(7, one), (3, both)]
    kept = KeptSince((9, both))
    assert [kept.follow(former) for former in sets_of(3, [hour, month], [(7, "hour")])] == [True, True]
    assert {feature.function: seq for feature, seq in kept.since.items()} == {"count": 9, "mean": 3}


def test_files_are_checked_and_compared_by_commands(tmp_path: Path) -> None:
    file, other = tmp_path / "rules.toml", tmp_path / "other.toml"
    file.write_text(tomli_w.dumps(SET.plain()), "utf-8-sig")  # as Windows' editors write it
    other.write_text('[[rules]]\nname = "a"\nwhen = "amount >"\n')
    run = CliRunner().invoke

    checked = run(rules, ["check", str(file)])
    assert (checked.exit_code, checked.output) == (
        0,
        f"{SET.hash}: 2 rules, 1 live, 1 share; 1 feature; cost 19; lists trusted; detector odds\n",
    )
    refused = run(rules, ["diff", str(file), str(other)])
    assert refused.exit_code == 1
    assert refused.output.startswith(
        f'Error: {other}:3:17: rule "a": when: the end stands where a value belongs'
    )
    assert run(rules, ["diff", str(file), str(file)]).output == "they decide alike\n"
    other.write_text('[[rules]]\nname = "a"\nwhen = "score(\'thief\') > 5"\n')
    assert (
        f'{other}: rule "a": score("thief"): there is no detector thief'
        in run(rules, ["check", str(other)]).output
    )


def test_the_example_of_the_documents_and_their_commands_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "rules.md").read_text()
    monkeypatch.chdir(tmp_path)
    for name in ("rules.toml", "before.toml"):
        Path(name).write_text(blocks(page, "toml")[0])
    said = [command.text for command in commands() if " rules " in command.text]

    assert len(said) >= 2
    for command in said:
        if re.match(r"txnwatch rules (check|diff \S+) \S+", command):
            result = CliRunner().invoke(rules, shlex.split(command)[2:])
            assert result.exit_code == 0, result.output
