"""Where a batch goes: Postgres, Kafka, Redis."""
