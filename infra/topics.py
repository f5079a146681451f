"""`txnwatch topics`: create the topics, or check the ones that exist."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import click
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.services import KAFKA
from infra.runtime.settings import Settings

_LEADERS_SECONDS = 30.0
_POLL_SECONDS = 0.05
_POLICY = "cleanup.policy"


class TopicsError(Exception):
    """Topics that exist do not fit, or cannot be created; the message names each."""


@dataclass(frozen=True, slots=True)
class Ensured:
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
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.servers)
    try:
        await admin.start()
        return await _ensure(admin, settings)
    finally:
        await admin.close()


async def _ensure(admin: AIOKafkaAdminClient, settings: Settings) -> Ensured:
    names = [settings.transactions_topic, *settings.output_topics]
    counts = await _partition_counts(admin, names)
    await _check(admin, settings, counts)
    absent = [name for name in names if name not in counts]
    created = await _create(admin, settings, absent)
    if absent:
        # Another one may have made some of them meanwhile, with settings of its own.
        await _check(admin, settings, await _when_all_lead(admin, names))
    return Ensured(created=created, existing=[name for name in names if name not in created])


async def _create(admin: AIOKafkaAdminClient, settings: Settings, names: Iterable[str]) -> list[str]:
    """The names created; one that exists by now is left out."""
    wanted = [
        NewTopic(
            name=name,
            num_partitions=settings.partitions,
            replication_factor=settings.replication,
            topic_configs=_configs(settings, name),
        )
        for name in names
    ]
    if not wanted:
        return []
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


async def _check(admin: AIOKafkaAdminClient, settings: Settings, counts: dict[str, int]) -> None:
    problems = [
        f"{name} has {count} partitions, but TXNWATCH_PARTITIONS is {settings.partitions}"
        for name, count in counts.items()
        if count != settings.partitions
    ]
    if settings.changelog_topic in counts:
        policy = await _cleanup_policy(admin, settings.changelog_topic)
        if policy != "compact":
            problems.append(f"{settings.changelog_topic} has {_POLICY}={policy}, but needs compact alone")
    if problems:
        raise TopicsError("\n".join(problems))


async def _when_all_lead(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """The number of partitions of each topic once every one has a leader."""
    async with asyncio.timeout(_LEADERS_SECONDS):
        # The broker tells nobody of new leaders: it has to be asked.
        while len(counts := await _partition_counts(admin, names, led=True)) < len(names):  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
    return counts


async def _partition_counts(
    admin: AIOKafkaAdminClient, names: list[str], *, led: bool = False
) -> dict[str, int]:
    """The number of partitions of each topic that exists, or with `led` of each that is wholly led."""
    found = {topic["topic"]: topic for topic in await admin.describe_topics(names)}
    return {
        name: len(found[name]["partitions"])
        for name in names
        if name in found and _exists(found[name]) and not (led and _leaderless(found[name]))
    }


def _exists(topic: dict[str, Any]) -> bool:
    return bool(topic["error_code"] == 0)


def _leaderless(topic: dict[str, Any]) -> bool:
    return any(partition["leader"] < 0 for partition in topic["partitions"])


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
