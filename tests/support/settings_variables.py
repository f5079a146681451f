"""The environment variables that the settings of our packages read, and the two files that list them."""

import textwrap
from collections.abc import Iterator

from pydantic import SecretStr

import api.settings as of_api
import infra.ingest.settings as of_ingest
import infra.runtime.settings as shared
import stream_app.settings as of_worker
from infra.runtime.health_settings import HealthSettings
from infra.runtime.logs import LogSettings
from infra.runtime.settings import SettingsGroup, all_settings
from infra.runtime.web_secret_settings import WebSecretSettings
from stream_app.detectors import all_settings as of_detectors

SECTIONS: dict[str, tuple[type[SettingsGroup], ...]] = {
    "Services": (shared.KafkaSettings, shared.ServiceSettings),
    "Logs": (LogSettings,),
    "Topics": (shared.TopicSettings, shared.KeySettings, shared.Settings),
    "Worker": (
        of_worker.SinkSettings,
        shared.DataSettings,
        of_worker.WebSettings,
        WebSecretSettings,
        of_worker.RuleSettings,
        shared.WindowSettings,
        *of_detectors(),
        shared.MessageSettings,
        shared.PatienceSettings,
        of_worker.Settings,
    ),
    "Ingest": (of_ingest.IngestSettings,),
    "Health": (HealthSettings,),
    "API": (
        of_api.HttpSettings,
        of_api.ProviderSettings,
        shared.MonthSettings,
        of_api.StreamSettings,
    ),
}
"""In the order of the files; the fields of each class that it does not inherit."""
ENV_EXAMPLE_HEAD = (
    "# Copy to .env and change what differs."
    " The environment wins over .env; without either, these are the defaults.\n"
)
PAGE_HEAD = """\
# Settings

From the environment or from `.env` in the working folder; the environment wins. `.env.example` is ready to
copy. A value that cannot be used ends every command that reads it with a line that names the variable, and so
does a variable that begins with `TXNWATCH_` and is not listed here. Such a line shows no value.

A secret can also be in a file that the variable with `_FILE` names, as container engines mount them:
`TXNWATCH_KAFKA_PASSWORD_FILE=/run/secrets/kafka`. It is read once, at the start. These are secrets:
SECRETS.

This page is written from the settings' classes: `pytest tests/unit/test_settings_files.py --update-goldens`.
"""


def variables(settings: type[SettingsGroup]) -> dict[str, str]:
    """The fields of these settings by their variable."""
    return {variable: name for name, variable in settings.variables().items()}


def known_variables() -> set[str]:
    """Every variable that any of our commands reads."""
    return {variable for settings in all_settings() for variable in variables(settings)}


def env_example() -> str:
    """The text of `.env.example`."""
    sections = (
        f"# --- {title} ".ljust(106, "-")
        + "\n\n"
        + "".join(f"# {words}\n{name}={default}\n" for name, default, words in rows)
        for title, rows in _sections()
    )
    return "\n".join([ENV_EXAMPLE_HEAD, *sections])


def settings_page() -> str:
    """The text of `docs/settings.md`."""
    sections = (
        f"## {title}\n\n| variable | default | what it is |\n| --- | --- | --- |\n"
        + "".join(
            f"| `{name}` | {f'`{default}`' if default else 'empty'} | {words} |\n"
            for name, default, words in rows
        )
        for title, rows in _sections()
    )
    return "\n".join([PAGE_HEAD.replace("SECRETS", _secrets()), *sections])


def _secrets() -> str:
    names = {name for settings in all_settings() for name in settings.secrets()}
    return textwrap.fill(", ".join(f"`{name}`" for name in sorted(names)), 110)


def _sections() -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each section's title, and the variable, default and description of its settings."""
    for title, groups in SECTIONS.items():
        yield title, [row for group in groups for row in _rows(group)]


def _rows(group: type[SettingsGroup]) -> Iterator[tuple[str, str, str]]:
    for name, variable in group.variables().items():
        if name in group.__annotations__:
            field = group.model_fields[name]
            default = field.default
            text = default.get_secret_value() if isinstance(default, SecretStr) else str(default)
            yield variable, text, " ".join((field.description or "").split())
