"""`txnwatch topics`: create the topics, or check the ones that exist."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import click
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra.noting import note_if_possible
from infra.runtime.cli_errors import ending_in_one_line
from infra.runtime.kafka import Cluster, TopicsError, admin_client, describe_cluster, wrong_partitions
from infra.runtime.services import KAFKA
from infra.runtime.settings import Settings

_LEADERS_SECONDS = 30.0
_POLL_SECONDS = 0.05
_POLICY, _RETENTION, _FOR_EVER = "cleanup.policy", "retention.ms", "-1"
_STAMP, _BROKERS_STAMP = "message.timestamp.type", "LogAppendTime"
_OF_THE_TOPIC = 1  # the source of a configuration's value, as Kafka numbers them


class Ensured(NamedTuple):
    """The names of the topics that were made and of those that were there."""

    created: list[str]
    existing: list[str]
    stamped_by_producers: list[str]
    """Those that were there whose records have the time that a producer says, and leave by its age."""
    altered: list[str]
    """Those of them that have the broker's from now on."""


async def ensure_topics(settings: Settings, *, alter: bool = False) -> Ensured:
    """Create the topics that are absent; return when each partition has a leader.

    Nothing is created when an existing topic does not fit. Safe to run twice, also side by side.

    With `alter`, records of existing topics get their times from the broker from now on.

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
        existing = [name for name in settings.topics if name not in created]
        stamped = await _stamped(admin, existing)
        for name in stamped if alter else ():
            await _alter(admin, name, {_STAMP: _BROKERS_STAMP})
        return Ensured(created, existing, *(([], stamped) if alter else (stamped, [])))


async def _stamped(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> list[str]:
    """The topics whose records have their producers' times."""
    return [name for name in topics if await topic_config(admin, name, _STAMP) != _BROKERS_STAMP]


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
    # By the clock of who writes, records that are stamped with the dates of their transactions, or by a
    # worker whose clock is behind, are deleted by age at once, and those of one an hour ahead are refused.
    configs = {_STAMP: _BROKERS_STAMP}
    if name == settings.control_topic:
        configs |= {_POLICY: "delete", _RETENTION: _FOR_EVER}
    return configs | ({_POLICY: "compact"} if name == settings.changelog_topic else {})


async def _check(admin: AIOKafkaAdminClient, settings: Settings, cluster: Cluster) -> None:
    problems = wrong_partitions(cluster, settings.topics, settings.partitions, "TXNWATCH_PARTITIONS is")
    if settings.changelog_topic in cluster.topics:
        policy = await topic_config(admin, settings.changelog_topic, _POLICY)
        if policy != "compact":
            problems.append(f"{settings.changelog_topic} has {_POLICY}={policy}, but needs compact alone")
    if settings.control_topic in cluster.topics:
        problems += await _forgetful(admin, settings.control_topic)
    if problems:
        raise TopicsError("\n".join(problems))


async def _forgetful(admin: AIOKafkaAdminClient, topic: str) -> list[str]:
    """What of its configuration would have records leave the topic."""
    needed = {_POLICY: "delete", _RETENTION: _FOR_EVER}
    has = {name: await topic_config(admin, topic, name) for name in needed}
    return [
        f"{topic} has {name}={has[name]}, but needs {needed[name]}"
        for name in needed
        if has[name] != needed[name]
    ]


async def add_partitions(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int) -> None:
    """Bring these topics to so many partitions where they have fewer; return when each has a leader.

    Raises:
        KafkaError: The broker refuses, or cannot be reached.
    """
    counts = {name: len(numbers) for name, numbers in (await describe_cluster(admin)).topics.items()}
    if fewer := [name for name in names if counts[name] < partitions]:
        await admin.create_partitions({name: NewPartitions(partitions) for name in fewer})
    await _when_all_lead(admin, names, partitions)


async def _when_all_lead(admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int = 1) -> Cluster:
    """The cluster once these topics have so many partitions, and every partition of theirs a leader."""
    deadline = asyncio.get_running_loop().time() + _LEADERS_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        cluster = await describe_cluster(admin)
        leaders = [[*cluster.topics.get(name, {}).values()] for name in names]
        if all(len(one) >= partitions and min(one) >= 0 for one in leaders):
            return cluster
        await asyncio.sleep(_POLL_SECONDS)  # a broker sends no news of leaders
    raise TopicsError(
        f"not every partition has a leader {_LEADERS_SECONDS:g} s after it was made: see whether all "
        "brokers run"
    )


async def topic_config(admin: AIOKafkaAdminClient, topic: str, name: str) -> str:
    """The value that a topic has for this configuration, be it the broker's."""
    return str(next(value for one, value, *_rest in await _configs_of(admin, topic, name) if one == name))


async def _alter(admin: AIOKafkaAdminClient, topic: str, configs: dict[str, str]) -> None:
    """Set these; the topic's other values are sent along, as what is not sent goes back to its default."""
    kept = {
        name: value
        for name, value, _read_only, source, *_rest in await _configs_of(admin, topic)
        if source == _OF_THE_TOPIC
    }
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {**kept, **configs})
    [response] = await admin.alter_configs([resource])
    [(code, message, *_rest)] = response.resources
    if code:
        raise TopicsError(f"{topic}: {message or for_code(code).__name__}")


async def _configs_of(admin: AIOKafkaAdminClient, topic: str, *names: str) -> list[tuple[Any, ...]]:
    """Name, value, whether it is read-only, and source, of these configurations or of all."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(names) or None)
    [response] = await admin.describe_configs([resource])
    [(code, message, _kind, _name, entries)] = response.resources
    if code:
        raise TopicsError(f"{topic}: {message or for_code(code).__name__}")
    return list(entries)


@click.command("topics")
@click.option("--alter", is_flag=True, help="Have existing topics get their records' times from the broker.")
def topics_command(*, alter: bool) -> None:
    """Create the topics, or check the ones that exist."""
    settings = Settings.load()
    with ending_in_one_line(TopicsError, KAFKA):
        ensured = asyncio.run(_ensured_and_noted(settings, alter=alter))
    for name in ensured.created:
        click.echo(f"{name}: created, {settings.partitions} partitions")
    for name in ensured.existing:
        click.echo(f"{name}: exists, {settings.partitions} partitions")
    for name in ensured.stamped_by_producers:
        click.echo(
            f"{name}: {_STAMP} is not {_BROKERS_STAMP}: records whose producer says a time of long ago, "
            "such as their transaction's, are deleted by the topic's retention at once. --alter sets it.",
            err=True,
        )


async def _ensured_and_noted(settings: Settings, *, alter: bool) -> Ensured:
    ensured = await ensure_topics(settings, alter=alter)
    for what, names in ("topics made", ensured.created), ("topics altered", ensured.altered):
        if names:
            await note_if_possible(settings, what, ", ".join(names))
    return ensured
