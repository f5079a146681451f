"""What the command line takes, before anything is sent."""

import pytest
from click.testing import CliRunner

from infra.produce.cli import produce
from infra.runtime.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "either FILE or --generate"),
        (["file.csv", "--generate", "10"], "either FILE or --generate"),
        (["--generate"], "needs --rate or --limit"),
        (["--generate", "0"], "needs --rate or --limit"),
        (["--generate", "ten"], "'--generate'"),
        (["--generate", "1", "--users", "0"], "'--users'"),
        (["file.csv", "--rate", "0"], "'--rate'"),
        (["file.csv", "--limit", "0"], "'--limit'"),
        (["file.csv", "--map", "amount"], "field=column"),
        (["file.csv", "--map", "amount="], "field=column"),
        (["file.csv", "--map", "price=amount"], "field=column"),
        (["--generate", "1", "--raw"], "--raw"),
        (["file.csv", "--raw", "--currency", "EUR"], "--raw"),
        (["file.csv", "--raw", "--map", "amount=Total"], "--raw"),
        (["file.csv", "--raw", "--sort"], "--raw"),
        (["file.csv", "--raw", "--encoding", "latin-1"], "--raw"),
        (["file.csv", "--encoding", "latin-17"], "unknown encoding: latin-17"),
        (["file.csv", "--encoding", "base64"], "'base64' is not a text encoding"),
        (["--generate", "1", "--speed", "60x"], "--speed needs"),
        (["file.csv", "--raw", "--speed", "60x"], "--speed needs"),
        (["file.csv", "--raw", "--mapping", "paysim"], "--raw"),
        (["file.csv", "--speed", "fast"], "no speed such as 60x"),
        (["file.csv", "--mapping", "paysim", "--currency", "EUR"], "--mapping says"),
        (["file.csv", "--sort", "--as-is"], "exclude each other"),
        (["file.csv", "--decimal", ",", "--thousands", ","], "the same mark"),
        (["file.csv", "--decimal", "'"], "'--decimal'"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(arguments: list[str], complaint: str) -> None:
    result = CliRunner().invoke(produce, arguments)
    assert result.exit_code == 2
    assert complaint in result.output


def test_a_file_that_is_not_there_is_one_line() -> None:
    result = CliRunner().invoke(produce, ["no-such-file.csv"])
    assert result.exit_code == 1
    assert result.output == "Error: no-such-file.csv: No such file or directory\n"
    result = CliRunner().invoke(produce, ["file.csv", "--mapping", "no-such-file.toml"])
    assert result.exit_code == 1
    assert result.output == "Error: no-such-file.toml: No such file or directory\n"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", ""),
        ("TXNWATCH_TRANSACTIONS_TOPIC", ""),
        ("TXNWATCH_MAX_MESSAGE_BYTES", "many"),
        ("TXNWATCH_MAX_MESSAGE_BYTES", "0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=variable):
        Settings.load()
    result = CliRunner().invoke(produce, ["--generate", "1"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {variable}: ")
