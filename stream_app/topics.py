"""Checks, before anything is consumed, that the topics are there and fit together."""

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient

from stream_app.settings import Settings


class TopicsError(Exception):
    """A topic is missing or has another number of partitions than the source."""


async def check_topics(settings: Settings) -> str:
    """The cluster's id; TopicsError unless every topic exists with as many partitions as the source."""
    topics = (settings.transactions_topic, *settings.output_topics)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.servers, client_id=f"{settings.app_id}-check")
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics))
        cluster = await admin.describe_cluster()
    finally:
        await admin.close()
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described if not topic["error_code"]}
    _check_counts(topics, counts)
    return str(cluster["cluster_id"])


def _check_counts(topics: Iterable[str], counts: dict[str, int]) -> None:
    missing = [topic for topic in topics if topic not in counts]
    if missing:
        raise TopicsError(f"no topic {', '.join(missing)}: create the topics with `txnwatch topics`")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{topic} has {count}" for topic, count in counts.items())
        raise TopicsError(f"the topics must have one number of partitions, but {listed}")
