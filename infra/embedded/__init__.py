"""Kafka, Postgres and Valkey from Python and Maven packages alone, without Docker."""
