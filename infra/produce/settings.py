"""What `txnwatch produce` reads from the environment or `.env`."""

from infra.runtime.settings import KafkaSettings, MessageSettings, TopicSettings


class Settings(KafkaSettings, TopicSettings, MessageSettings):
    """Where transactions are sent, and which would be refused."""
