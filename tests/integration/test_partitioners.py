"""Producers with a partitioner that is not Kafka's default, and with several at once."""

import csv
import json
from collections.abc import Iterable
from dataclasses import astuple, fields, replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from infra.runtime.partitioners import Name, partition_of
from tests.support.installation import Installation, json_of, until
from tests.support.services import free_port
from tests.support.serving import serving, settings_from
from tests.support.traffic import Sent, traffic

PARTITIONS = 4


@pytest.fixture
def installation(environment: dict[str, str]) -> Installation:
    return Installation(environment)


def placed(name: Name, transactions: Iterable[Sent], further: int = 0) -> list[tuple[int, Sent]]:
    """Each with the partition that this partitioner gives it, or so many further."""
    return [(partition_of(name, one.key, PARTITIONS) + further, one) for one in transactions]


async def send_to(installation: Installation, *records: tuple[int, Sent]) -> None:
    """Put each on the partition before it."""
    async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
        for partition, one in records:
            place = partition % PARTITIONS
            await producer.send_and_wait(installation.transactions, one.value, key=one.key, partition=place)


async def test_users_elsewhere_are_said_and_counted_and_found_through_any_worker(
    installation: Installation, tmp_path: Path
) -> None:
    """404 was what the worker that the partitioner names said, although another one had the window."""
    everybody = traffic(300, users=60)
    strays = list({one.user_id: one for one in everybody}.values())[:8]
    users = {one.user_id for one in strays}
    ports = [installation.environment["TXNWATCH_WEB_PORT"], str(free_port())]
    log = tmp_path / "log"
    environments = [
        {"TXNWATCH_SINKS": "", "TXNWATCH_WEB_PORT": port, "TXNWATCH_DATADIR": str(tmp_path / port)}
        for port in ports
    ]
    with (
        log.open("w") as output,
        installation.command("txnwatch", "worker", output=output.fileno(), **environments[0]),
        installation.command("txnwatch", "worker", output=output.fileno(), **environments[1]),
    ):
        await until(lambda: installation.shared(ports[1]))
        await send_to(
            installation, *placed("murmur2", (one for one in everybody if one.user_id not in users))
        )
        await until(installation.finished)
        assert "TXNWATCH_PARTITIONER" not in log.read_text()
        await send_to(
            installation, *placed("murmur2", strays, further=1), *placed("murmur2", strays, further=1)
        )
        await until(installation.finished)
        for port in ports:
            views = [await installation.get(f"/table/windows/{user}/", port) for user in users]
            assert [(status, json.loads(text)["count"]) for status, text in views] == [(200, 1)] * len(users)
            assert (await installation.get(f"/table/windows/{strays[0].id}/", port))[0] == 404
        async with (
            serving(settings_from(installation.environment)) as api,
            api.get("/dashboard/data/workers") as response,
        ):
            shown = (await response.json())["placement"]
        seen = [json.loads((await installation.get("/placement/", port))[1]) for port in ports]
        metrics = [(await installation.get("/metrics/prometheus", port))[1].splitlines() for port in ports]

    assert shown == {"partitioner": "murmur2", "misplaced": len(users)}
    assert sum(one["misplaced"] for one in seen) == len(users)
    assert {one["partitioner"] for one in seen} == {"murmur2"}
    counters = [
        line for lines in metrics for line in lines if line.startswith("txnwatch_misplaced_users_total")
    ]
    assert sum(float(line.split()[1]) for line in counters) == len(users)
    said = [line for line in log.read_text().splitlines() if "TXNWATCH_PARTITIONER" in line]
    assert 1 <= len(said) <= 2  # each worker says it once
    assert "has two windows" in said[0]


async def test_mended_messages_go_to_the_users_other_messages_in_their_order(
    installation: Installation,
) -> None:
    """They went where murmur2 puts them, and there they were scored against nothing."""
    transactions = traffic(24, users=8)
    refused = [
        replace(one, status="s" * 33, amount=f"{number}.00") for number, one in enumerate(transactions)
    ]
    homes = placed("crc32", refused)
    await send_to(installation, *homes)
    with installation.worker(TXNWATCH_SINKS=""):
        await until(installation.finished)

    code, said = await installation.completed("txnwatch", "dlq", "redrive", "--all", "--unchecked")
    assert (code, said) == (0, f"24 sent to {installation.transactions}, 0 not\n")
    records = await installation.read("TXNWATCH_TRANSACTIONS_TOPIC")
    again = [record for record in records if dict(record.headers).get("redriven-from")]
    assert sorted((record.partition, record.value) for record in again) == sorted(
        (partition, one.value) for partition, one in homes
    )
    amounts: dict[str, list[float]] = {one.user_id: [] for one in refused}
    for row in json_of(sorted(again, key=lambda record: (record.partition, record.offset))):
        amounts[row["user_id"]].append(float(row["amount"]))
    assert all(found == sorted(found) for found in amounts.values())


async def test_what_is_produced_goes_where_the_other_producers_put_it(
    installation: Installation, tmp_path: Path
) -> None:
    given = traffic(40, users=30)
    path = tmp_path / "t.csv"
    with path.open("w") as file:
        csv.writer(file).writerows([[field.name for field in fields(Sent)], *map(astuple, given)])

    for partitioner in ("crc32", "auto"):
        installation.environment["TXNWATCH_PARTITIONER"] = partitioner
        assert (await installation.completed("txnwatch", "produce", str(path)))[0] == 0
    records = await installation.read("TXNWATCH_TRANSACTIONS_TOPIC")
    assert len(records) == 80
    assert all(record.partition == partition_of("crc32", record.key or b"", PARTITIONS) for record in records)

    await send_to(installation, *placed("fnv1a", given), *placed("murmur2", given))
    code, said = await installation.completed("txnwatch", "produce", str(path))
    assert code == 1
    assert "TXNWATCH_PARTITIONER=auto" in said
    assert "Set it to murmur2, crc32, fnv1a" in said
