"""What workers and API prove to each other, and how."""

from pydantic import SecretStr, field_validator

from infra.runtime.settings import SettingsGroup

_SHORTEST_SECRET = 16


class WebSecretSettings(SettingsGroup):
    """What workers and API prove to each other."""

    web_secret: SecretStr = SecretStr("")
    """What the workers' web views are asked with, the same for workers and API; needed where the views listen
    beyond this machine."""

    @property
    def web_headers(self) -> dict[str, str]:
        """What a request to the views carries; nothing without a secret."""
        secret = self.web_secret.get_secret_value()
        return {"Authorization": f"Bearer {secret}"} if secret else {}

    @field_validator("web_secret")
    @classmethod
    def _is_long(cls, secret: SecretStr) -> SecretStr:
        if 0 < len(secret.get_secret_value()) < _SHORTEST_SECRET:
            raise ValueError(f"must have at least {_SHORTEST_SECRET} characters")
        return secret
