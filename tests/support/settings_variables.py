"""The environment variables that the settings of our packages read."""

from importlib import import_module
from pathlib import Path

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

_ROOT = Path(__file__).parents[2]
_PACKAGES = ("schemas", "stream_app", "api", "infra")


def all_settings() -> list[type[BaseSettings]]:
    """The settings of every `settings.py`."""
    files = sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("settings.py"))
    names = [".".join(path.relative_to(_ROOT).with_suffix("").parts) for path in files]
    return [
        found
        for name in names
        for found in vars(import_module(name)).values()
        if isinstance(found, type) and issubclass(found, BaseSettings) and found.__module__ == name
    ]


def variables(settings: type[BaseSettings]) -> dict[str, str]:
    """The fields of these settings by their variable."""
    prefix = settings.model_config.get("env_prefix", "").upper()
    return {
        _variable(field.validation_alias) or f"{prefix}{name.upper()}": name
        for name, field in settings.model_fields.items()
    }


def _variable(alias: object) -> str:
    """The one that people set: where there are several, the last."""
    return str(alias.choices[-1]) if isinstance(alias, AliasChoices) else str(alias or "")


def known_variables() -> set[str]:
    """Every variable that any of our commands reads."""
    return {variable for settings in all_settings() for variable in variables(settings)}
