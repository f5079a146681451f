"""The services by the name and variable that an error's line begins with, and the errors of each."""

import asyncpg
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from infra.runtime import postgres, redis
from infra.runtime.cli_errors import ServiceErrors

KAFKA = ServiceErrors("Kafka (KAFKA_BOOTSTRAP_SERVERS)", (KafkaError, TimeoutError), library="aiokafka")
POSTGRES = ServiceErrors(
    "Postgres (POSTGRES_URL)",
    (
        postgres.DatabaseError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
        TimeoutError,
    ),
    postgres.reason,
    library="asyncpg",
)
REDIS = ServiceErrors("Redis (REDIS_URL)", (RedisError, OSError), redis.reason, library="redis")
