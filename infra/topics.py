"""`txnwatch topics`: create the topics, or check the ones that exist."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import click
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.kafka import Cluster, TopicsError, admin_client, describe_cluster, wrong_partitions
from infra.runtime.services import KAFKA
from infra.runtime.settings import Settings

_LEADERS_SECONDS = 30.0
_POLL_SECONDS = 0.05
_POLICY = "cleanup.policy"


class Ensured(NamedTuple):
    """The names of the topics that were made and of those that were there."""

    created: list[str]
    existing: list[str]


async def ensure_topics(settings: Settings) -> Ensured:
    """Create the topics that are absent; return when each partition has a leader.

    Nothing is created when an existing topic does not fit. Safe to run twice, also side by side.

    Raises:
        TopicsError: A topic has another number of partitions than `settings.partitions`, the
            changelog is not compacted alone, or the broker refused one.
        KafkaError: The broker cannot be reached.
    """
    async with admin_client(settings, "topics") as admin:
        cluster = await describe_cluster(admin)
        await _check(admin, settings, cluster)
        absent = [name for name in settings.topics if name not in cluster.topics]
        created = await _create(admin, settings, absent) if absent else []
        if absent:
            # Another process may have made some of them since, with settings of its own.
            await _check(admin, settings, await _when_all_lead(admin, settings.topics))
    return Ensured(created, existing=[name for name in settings.topics if name not in created])


async def _create(admin: AIOKafkaAdminClient, settings: Settings, names: Iterable[str]) -> list[str]:
    """The names created; one that exists by now is left out."""
    wanted = [
        NewTopic(name, settings.partitions, settings.replication, topic_configs=_configs(settings, name))
        for name in names
    ]
    response = await admin.create_topics(wanted)
    refused = {name: (code, *rest) for name, code, *rest in response.topic_errors if code}
    problems = [
        f"{name}: {' '.join(filter(None, rest)) or for_code(code).__name__}"
        for name, (code, *rest) in refused.items()
        if for_code(code) is not TopicAlreadyExistsError
    ]
    if problems:
        raise TopicsError("the broker refused:\n" + "\n".join(problems))
    return [topic.name for topic in wanted if topic.name not in refused]


def _configs(settings: Settings, name: str) -> dict[str, str]:
    """What the topic needs other than the broker's defaults."""
    configs = {_POLICY: "compact"} if name == settings.changelog_topic else {}
    if name != settings.transactions_topic:
        # By a worker's own clock, one that is behind would have its records deleted by their age at
        # once, and one that is an hour ahead would have them refused.
        configs["message.timestamp.type"] = "LogAppendTime"
    return configs


async def _check(admin: AIOKafkaAdminClient, settings: Settings, cluster: Cluster) -> None:
    problems = wrong_partitions(cluster, settings.topics, settings.partitions, "TXNWATCH_PARTITIONS is")
    if settings.changelog_topic in cluster.topics:
        policy = await _cleanup_policy(admin, settings.changelog_topic)
        if policy != "compact":
            problems.append(f"{settings.changelog_topic} has {_POLICY}={policy}, but needs compact alone")
    if problems:
        raise TopicsError("\n".join(problems))


async def _when_all_lead(admin: AIOKafkaAdminClient, names: Sequence[str]) -> Cluster:
    """The cluster once every partition of these topics has a leader."""
    async with asyncio.timeout(_LEADERS_SECONDS):
        while True:
            cluster = await describe_cluster(admin)
            if all(min(cluster.topics.get(name, {}).values(), default=-1) >= 0 for name in names):
                return cluster
            await asyncio.sleep(_POLL_SECONDS)  # a broker sends no news of leaders


async def _cleanup_policy(admin: AIOKafkaAdminClient, topic: str) -> str:
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {_POLICY: None})
    [response] = await admin.describe_configs([resource])
    [(code, message, _kind, _name, entries)] = response.resources
    if code:
        raise TopicsError(f"{topic}: {message or for_code(code).__name__}")
    return str(next(value for name, value, *_rest in entries if name == _POLICY))


@click.command("topics")
def topics_command() -> None:
    """Create the topics, or check the ones that exist."""
    settings = Settings.load()
    with ending_in_one_line(TopicsError, KAFKA):
        ensured = asyncio.run(ensure_topics(settings))
    for name in ensured.created:
        click.echo(f"{name}: created, {settings.partitions} partitions")
    for name in ensured.existing:
        click.echo(f"{name}: exists, {settings.partitions} partitions")
