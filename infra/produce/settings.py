"""What `txnwatch produce` takes from the environment or `.env`."""

from typing import Self

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(ValueError):
    """A setting cannot be used; the message names its variable."""


class Settings(BaseSettings):
    """Immutable once loaded. A field's variable is the one given beside it."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, populate_by_name=True)

    kafka: str = Field("localhost:9092", validation_alias="KAFKA_BOOTSTRAP_SERVERS", min_length=1)
    topic: str = Field("transactions", validation_alias="TXNWATCH_TRANSACTIONS_TOPIC", min_length=1)
    max_message_bytes: PositiveInt = Field(65536, validation_alias="TXNWATCH_MAX_MESSAGE_BYTES", le=900_000)

    @classmethod
    def load(cls) -> Self:
        """Read them.

        Raises:
            SettingsError: one has no usable value.
        """
        try:
            return cls()
        except ValidationError as error:
            lines = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise SettingsError("\n".join(lines)) from error
