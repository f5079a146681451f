"""`txnwatch rules apply`, `show` and `history` against real services."""

import asyncio
import tomllib
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from infra.cli import main


def rules(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["rules", *arguments])


@pytest.fixture(autouse=True)
def of_this_installation(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "decisions.toml"
    path.write_text(text)
    return str(path)


def test_a_file_is_applied_shown_listed_and_rolled_back(tmp_path: Path) -> None:
    assert rules("history").output.startswith("nothing was decided")
    assert "there is no decision on the rule set" in rules("show").output

    first = rules("apply", written(tmp_path, 'detector = "odds"'), "--who", "ann", "--why", "more\nof them")
    second = rules("apply", written(tmp_path, 'detector = "rolling_mean"'), "--who", "bob", "--expect", "1")
    third = rules("apply", "--seq", "1", "--who", "ann")

    made = [one.output for one in (first, second, third)]
    assert made == ["decision 1 by ann\n", "decision 2 by bob\n", "decision 3 by ann\n"]
    listed = rules("history").output.splitlines()
    assert [line.split(",")[0] for line in listed] == ["decision 3", "decision 2", "decision 1"]
    assert listed[-1].endswith("ann: more of them")
    assert tomllib.loads(rules("show").output) == {"detector": "odds"}
    assert tomllib.loads(rules("show", "--seq", "2").output) == {"detector": "rolling_mean"}


def test_a_file_is_held_against_what_holds(tmp_path: Path) -> None:
    file = written(tmp_path, '[[rules]]\nname = "large"\nwhen = "amount > 5"')
    assert rules("diff", file).output == '+ rule "large": flag, medium, live: when amount > 5\n'

    rules("apply", file)

    assert rules("diff", file).output == "they decide alike\n"
    written(tmp_path, 'detector = "odds"')
    assert rules("diff", file).output.splitlines()[0] == '~ detector: "" -> "odds"'


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give a FILE, or a former decision with --seq."),
        (("FILE", "--seq", "1"), "Give a FILE, or a former decision with --seq."),
        (("--seq", "7"), "there is no decision 7 on the rule set"),
        (("FILE", "--expect", "3"), "the newest decision on rules is 0, not 3"),
        (("FILE", "--who", "a" * 201), "who: at most 200 characters"),
    ],
)
def test_what_cannot_be_applied_is_said_in_a_line(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    file = written(tmp_path, 'detector = "odds"')

    result = rules("apply", *(file if one == "FILE" else one for one in arguments))

    assert result.exit_code != 0
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_file_that_is_wrong_is_not_applied(tmp_path: Path) -> None:
    result = rules("apply", written(tmp_path, 'detector = "ods"'))

    assert result.exit_code == 1
    assert "decisions.toml: detector: there is no detector ods" in result.output
    assert rules("history").output.startswith("nothing was decided")


async def test_without_kafka_it_is_kept_and_published_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setenv("KAFKA_BOOTSTRAP_SERVERS", "localhost:9")
        result = await asyncio.to_thread(rules, "apply", written(tmp_path, 'detector = "odds"'))
    assert (result.exit_code, "and not on the control topic yet" in result.output) == (0, True)

    result = await asyncio.to_thread(rules, "apply", "--seq", "1", "--who", "ann")

    assert result.output == "decision 2 by ann\n"


def test_what_is_suppressed_is_listed_until_it_is_ended() -> None:
    user = "6F1C3B64-8D0A-4B67-9A53-0C6C9D1A7E10"
    assert rules("suppressions").output == "nothing is suppressed\n"

    first = rules("suppress", "--user", user, "--until", "2026-05-01", "--who", "ann", "--why", "on a trip")
    rules("suppress", "--rule", "rent", "--until", "2026-06-01T12:00:00", "--who", "bob")
    listed = rules("suppressions").output.splitlines()
    rules("suppress", "--rule", "rent", "--end", "--who", "bob")

    assert first.output == "decision 1 by ann\n"
    assert listed == [
        'decision 2: rule "rent" until 2026-06-01 12:00:00 UTC, bob',
        f"decision 1: user {user.lower()} until 2026-05-01 00:00:00 UTC, ann: on a trip",
    ]
    assert rules("suppressions").output.splitlines() == listed[1:]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "bob", "--until", "2026-05-01"), "no suppression: Expected `str` matching"),
        (("--until", "2026-05-01"), "name a user, a rule, or both"),
        (("--rule", "rent"), "Say until when, with --until, or --end."),
        (("--rule", "rent", "--end", "--until", "2026-05-01"), "Say until when, with --until, or --end."),
    ],
)
def test_what_cannot_be_suppressed_is_said_in_a_line(arguments: tuple[str, ...], said: str) -> None:
    assert said in rules("suppress", *arguments).output
    assert rules("suppressions").output == "nothing is suppressed\n"


def _asking(*features: str) -> str:
    return "".join(f"[[rules]]\nname = '{one}'\nwhen = '{one} > 1'\n" for one in features)


async def test_it_is_said_since_when_features_have_seen_everything(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    async def apply(text: str) -> list[str]:
        return (await asyncio.to_thread(rules, "apply", written(tmp_path, text))).output.splitlines()[1:]

    async def shown() -> list[str]:
        lines = (await asyncio.to_thread(rules, "show")).output.splitlines()
        return [line for line in lines if "seen" in line or "sees" in line]

    hour, month = 'count("1h")', 'mean("30d")'
    from_then = "sees everything from when decision"
    assert await apply(_asking(hour)) == [f"new: {hour} {from_then} 1 holds on"]
    assert await apply(_asking(hour, month)) == [f"new: {month} {from_then} 2 holds on"]
    assert await apply(_asking(hour, 'sum("7d")')) == []  # is read from what the mean needs
    assert await apply('detector = "odds"') == []
    assert await apply(_asking(month, hour)) != []
    connection = await asyncpg.connect(environment["POSTGRES_URL"])
    try:
        await connection.execute(
            "INSERT INTO sink_offsets (app_id, topic, partition, epoch, next_offset)"
            " SELECT 'a', $1, p, 1, 9 FROM generate_series(0, 1) AS p",
            environment["TXNWATCH_TRANSACTIONS_TOPIC"],
        )
        await connection.execute(
            "INSERT INTO decisions_applied (app_id, topic, partition, seq, from_offset, at)"
            " SELECT 'a', $1, p, 5, p, '2026-01-01 10:00+00'::timestamptz + p * interval '1 min'"
            " FROM generate_series(0, 1) AS p",
            environment["TXNWATCH_TRANSACTIONS_TOPIC"],
        )
        assert await shown() == [
            (
                f"# {hour} sees everything from 2026-01-01 10:01 UTC on (decision 5),"
                " and all of its window from 2026-01-01 11:01 on"
            ),
            (
                f"# {month} sees everything from 2026-01-01 10:01 UTC on (decision 5),"
                " and all of its window from 2026-01-31 10:01 on"
            ),
        ]
    finally:
        await connection.close()


def test_without_rows_there_is_nothing_to_fill(tmp_path: Path) -> None:
    file = written(tmp_path, _asking('count("1h")'))

    assert rules("apply", file, "--warm", "--who", "ann").output.splitlines() == [
        "decision 1 by ann",
        "there is nothing to fill: features have all that rows have",
        'new: count("1h") sees everything from when decision 1 holds on',
    ]
