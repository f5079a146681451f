"""The environment variables that the settings of our packages read, and the files that list them."""

from infra.runtime.settings import SettingsGroup, all_settings


def variables(settings: type[SettingsGroup]) -> dict[str, str]:
    """The fields of these settings by their variable."""
    return {variable: name for name, variable in settings.variables().items()}


def known_variables() -> set[str]:
    """Every variable that any of our commands reads."""
    return {variable for settings in all_settings() for variable in variables(settings)}
