"""Options of the commands: each wins over its variable."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from infra.cli import main
from infra.runtime.settings import SettingsGroup

OPTIONS = [
    ("api --host", "TXNWATCH_API_HOST", "127.0.0.2", "127.0.0.3"),
    ("api --port", "TXNWATCH_API_PORT", "8001", "8002"),
    ("partitions ensure --ahead", "TXNWATCH_MONTHS_AHEAD", "5", "7"),
    ("partitions drop --keep", "TXNWATCH_RETENTION_MONTHS", "5", "7"),
    ("worker --web-port", "TXNWATCH_WEB_PORT", "6067", "6068"),
    ("worker --datadir", "TXNWATCH_DATADIR", "variable", "option"),
]


@pytest.mark.parametrize(("option", "variable", "there", "given"), OPTIONS, ids=[one for one, *_ in OPTIONS])
def test_an_option_wins_over_its_variable(
    option: str, variable: str, there: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = SettingsGroup.load.__func__  # type: ignore[attr-defined]
    loaded: list[SettingsGroup] = []

    def load_and_stop(cls: type[SettingsGroup], /, **values: Any) -> None:
        loaded.append(load(cls, **values))
        raise click.Abort

    monkeypatch.setattr(SettingsGroup, "load", classmethod(load_and_stop))
    monkeypatch.setenv(variable, there)

    CliRunner().invoke(main, [*option.split(), given])

    [settings] = loaded
    [field] = [name for name, known in settings.variables().items() if known == variable]
    assert str(getattr(settings, field)) == given
