"""Clients of Kafka by every way in, and what is said to one that is not let in."""

import asyncio
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import ANY
from uuid import uuid5

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from pydantic import SecretStr

from infra.runtime.kafka import admin_client
from infra.runtime.kafka_access import AccessError, UnreachableError
from infra.runtime.settings import Settings
from schemas.mapping.ids import NAMESPACE
from tests.support.certificates import Authority
from tests.support.foreign_topics import (
    MAPPING,
    arrived,
    by_user,
    foreign,
    foreign_topic,
    ingesting,
    pour,
    taken_over,
)
from tests.support.installation import Installation, ended, until
from tests.support.posting import given, post
from tests.support.rows import made, user
from tests.support.secure_kafka import PASSWORD, USER, RunningKafka, secure_kafka
from tests.support.serving import serving, settings_from
from tests.support.traffic import traffic

SECONDS = 10
Options = dict[str, Any]
LOGIN: Options = {"user": USER, "password": PASSWORD}
WRONG: Options = {"user": USER, "password": "another"}
TLS: Options = {"security": "SSL", "ca": "ca.pem"}
SCRAM: Options = {**TLS, "security": "SASL_SSL"}
IN_THE_CLEAR: Options = {"security": "SASL_PLAINTEXT", "login": "PLAIN"}
WAYS: list[tuple[str, Options]] = [
    ("kafka", {}),
    ("tls", TLS),
    ("mutual", {**TLS, "certificate": "client.pem", "key": "client.pem"}),
    ("scram", {**SCRAM, **LOGIN}),
    ("login", {**IN_THE_CLEAR, **LOGIN}),
]
REFUSALS: list[tuple[str, Options, str]] = [
    ("tls", {**TLS, "ca": "other.pem"}, "has a certificate that TXNWATCH_KAFKA_CA does not vouch for: "),
    ("tls", {"security": "SSL"}, "has a certificate that TXNWATCH_KAFKA_CA does not vouch for: "),
    ("tls", {}, "speaks TLS: set TXNWATCH_KAFKA_SECURITY to SSL or SASL_SSL"),
    ("scram", {}, "speaks TLS: set TXNWATCH_KAFKA_SECURITY to SSL or SASL_SSL"),
    ("kafka", TLS, "does not speak TLS: see TXNWATCH_KAFKA_SECURITY"),
    ("login", {}, "ends the connection: it may ask for a login (TXNWATCH_KAFKA_SECURITY)"),
    ("mutual", TLS, "or for another TXNWATCH_KAFKA_CERTIFICATE"),
    ("mutual", {**TLS, "certificate": "foreign.pem", "key": "foreign.pem"}, "another TXNWATCH_KAFKA_CERTI"),
    ("scram", {**SCRAM, **WRONG}, "refuses TXNWATCH_KAFKA_USER or TXNWATCH_KAFKA_PASSWORD"),
    ("login", {**IN_THE_CLEAR, **WRONG}, "refuses TXNWATCH_KAFKA_USER or TXNWATCH_KAFKA_PASSWORD"),
    ("scram", {**SCRAM, **LOGIN, "login": "SCRAM-SHA-256"}, "takes no login by SCRAM-SHA-256"),
    ("tls", {**SCRAM, **LOGIN}, "takes no login: see TXNWATCH_KAFKA_SECURITY"),
]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.new("ours")


@pytest.fixture(scope="module")
def kafka(authority: Authority) -> Iterator[RunningKafka]:
    with secure_kafka(authority) as kafka:
        yield kafka


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    other = Authority.new("other")
    authority.write(tmp_path / "ca.pem")
    other.write(tmp_path / "other.pem")
    (tmp_path / "client.pem").write_bytes(authority.give("client"))
    (tmp_path / "foreign.pem").write_bytes(other.give("client"))
    return tmp_path


def settings_of(address: str, options: Options, folder: Path) -> Settings:
    given: Options = {f"kafka_{name}": value for name, value in options.items()}
    for name in {"ca", "certificate", "key"} & options.keys():
        given[f"kafka_{name}"] = str(folder / options[name])
    if "password" in options:
        given["kafka_password"] = SecretStr(options["password"])
    return Settings(kafka=address, **given)


async def topics(settings: Settings) -> list[str]:
    async with admin_client(settings, "test") as admin:
        return list(await admin.list_topics())


@pytest.mark.parametrize(("listener", "options"), WAYS, ids=[name for name, _ in WAYS])
async def test_every_way_in(kafka: RunningKafka, folder: Path, listener: str, options: Options) -> None:
    its = await topics(settings_of(kafka.at(listener), options, folder))

    assert its == await topics(settings_of(kafka.at("kafka"), {}, folder))


@pytest.mark.parametrize(("listener", "options", "said"), REFUSALS)
async def test_who_is_not_let_in_is_told_why(
    kafka: RunningKafka, folder: Path, listener: str, options: Options, said: str
) -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError) as refused:
        await topics(settings_of(kafka.at(listener), options, folder))

    assert str(refused.value).startswith(f"{kafka.at(listener)} ")
    assert said in str(refused.value)
    assert PASSWORD not in str(refused.value)
    assert time.monotonic() - began < SECONDS


async def test_a_file_that_cannot_be_used_is_named(kafka: RunningKafka, folder: Path) -> None:
    (folder / "odd.pem").write_text("no certificate")
    for name in ("none.pem", "odd.pem"):
        with pytest.raises(AccessError, match=rf"TXNWATCH_KAFKA_CA: .*{name}: \w"):
            await topics(settings_of(kafka.at("tls"), {**TLS, "ca": name}, folder))


def test_nobody_there(folder: Path) -> None:
    with pytest.raises(UnreachableError, match=r"127.0.0.1:1 refuses connections: nothing listens there"):
        asyncio.run(topics(settings_of("127.0.0.1:1", {}, folder)))


BEFORE = ("topics", "produce --generate 100", "dlq list", "rules history", "rules apply rules.toml")
FOREIGN = (
    "mapping guess {topic} --output found.toml",
    "mapping check mended.toml {topic}",
    "produce shop.jsonl --mapping shop.toml",
    "dlq list",
    "dlq show 0:0",
    "dlq redrive --all --mapping mended.toml",
    "lists add blocked kiosk",
)
AFTERWARDS = ("replay", "mirror rebuild", "rows restore", "repartition 8 --dry-run", "state accept")


def installed(kafka: RunningKafka, environment: dict[str, str], folder: Path, **more: str) -> Installation:
    """An installation on this broker; the test itself looks at it without any protection."""
    secure = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.at("scram"),
        "TXNWATCH_KAFKA_SECURITY": "SASL_SSL",
        "TXNWATCH_KAFKA_CA": str(folder / "ca.pem"),
        "TXNWATCH_KAFKA_USER": USER,
        "TXNWATCH_KAFKA_PASSWORD": PASSWORD,
    }
    installation = Installation({**environment, **(secure | more)})
    installation.kafka = kafka.at("kafka")
    return installation


@pytest.mark.slow
async def test_every_program_runs_on_a_broker_that_takes_a_login_over_tls(
    kafka: RunningKafka, folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "rules.toml").write_text('detector = "odds"')
    installation = installed(kafka, environment, folder)
    with installation.command("txnwatch", "api"):
        for command in BEFORE:
            assert (await installation.completed("txnwatch", *command.split()))[0] == 0
        with installation.worker() as worker:
            await until(installation.finished)
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(worker.wait, 30) == 0
        for command in AFTERWARDS:
            assert await installation.completed("txnwatch", *command.split()) == (0, ANY)
        assert await stored(environment) == 100


@pytest.mark.slow
async def test_a_foreign_topic_comes_in_and_a_transaction_is_posted_by_a_login_over_tls(
    kafka: RunningKafka, folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    installation, sent = installed(kafka, environment, folder), traffic(60)
    for name, text in (("shop", MAPPING), ("mended", MAPPING.replace('"ccy"', '"ccy"\ndefault = "INR"'))):
        (folder / f"{name}.toml").write_text(text)
    (folder / "shop.jsonl").write_bytes(b"\n".join(map(foreign, sent[51:])))
    label = str(uuid5(NAMESPACE, sent[0].id)), sent[0].user_id, sent[0].txn_date, "fraud"
    (folder / "labels.csv").write_text("id,user_id,txn_date,label\n" + ",".join(label))
    assert (await installation.completed("txnwatch", "topics"))[0] == 0
    async with foreign_topic(installation, 1) as topic:
        bad = foreign(sent[50]).replace(b'"INR"', b"null")
        async with AIOKafkaProducer(bootstrap_servers=installation.kafka) as producer:
            for value in (*map(foreign, sent[:50]), bad):
                await producer.send(topic, value)
        with ingesting(installation, topic, folder / "shop.toml") as process:
            await until(partial(taken_over, installation, 50))
            assert await ended(process) == 0
        for command in FOREIGN:
            done = await installation.completed("txnwatch", *command.format(topic=topic).split())
            assert done == (0, ANY), command
    assert sum(map(len, (await arrived(installation)).values())) == 60
    with installation.worker() as worker:
        async with serving(settings_from(installation.environment)) as api:
            assert (await post(api, given(made(user(1), 1)), wait="30s"))[0] == 200
        await until(installation.finished)
        assert await installation.completed("txnwatch", "labels", "labels.csv") == (0, ANY)
        assert await ended(worker) == 0
    assert await stored(environment) == 61


@pytest.mark.slow
async def test_certificates_change_under_load_and_nothing_is_lost_or_doubled(
    folder: Path, authority: Authority, environment: dict[str, str]
) -> None:
    with secure_kafka(authority) as kafka:
        await change_certificates(kafka, folder, authority, environment)


async def change_certificates(
    kafka: RunningKafka, folder: Path, authority: Authority, environment: dict[str, str]
) -> None:
    client = str(folder / "client.pem")
    installation = installed(
        kafka,
        environment,
        folder,
        KAFKA_BOOTSTRAP_SERVERS=kafka.at("mutual"),
        TXNWATCH_KAFKA_SECURITY="SSL",
        TXNWATCH_KAFKA_USER="",
        TXNWATCH_KAFKA_PASSWORD="",
        TXNWATCH_KAFKA_CERTIFICATE=client,
        TXNWATCH_KAFKA_KEY=client,
    )
    assert (await installation.completed("txnwatch", "topics"))[0] == 0
    second, third = Authority.new("the second"), Authority.new("the third")
    sending = ("txnwatch", "produce", "--generate", "8000", "--rate", "400")
    mapping, foreign_ones, enough = folder / "shop.toml", traffic(4000, seed=2), asyncio.Event()
    mapping.write_text(MAPPING)
    async with foreign_topic(installation) as topic:
        with (
            installation.worker() as worker,
            installation.command(*sending) as producer,
            ingesting(installation, topic, mapping) as ingest,
        ):
            pouring = asyncio.create_task(pour(installation, topic, foreign_ones, enough))
            for former, new in ((authority, second), (second, third)):
                await until(partial(has_more, environment, await stored(environment) + 500))
                (folder / "ca.pem").write_bytes(former.pem + new.pem)
                (folder / "client.pem").write_bytes(new.give("client"))
                kafka.trust(former, new)
                await asyncio.to_thread(kafka.stop)
                await asyncio.to_thread(kafka.start)
            output, _ = await asyncio.to_thread(producer.communicate, timeout=120)
            assert b"8,000 sent" in output
            enough.set()
            await pouring
            await until(partial(has_more, environment, 11_999))
            await until(installation.finished)
            assert (worker.poll(), await ended(ingest)) == (None, 0)
    assert await stored(environment) == 12_000
    assert len(await installation.read("TXNWATCH_SCORED_TOPIC")) == 12_000
    theirs = by_user(foreign_ones)
    assert {user: ids for user, ids in (await arrived(installation)).items() if user in theirs} == theirs


async def stored(environment: dict[str, str]) -> int:
    connection = await asyncpg.connect(environment["POSTGRES_URL"])
    try:
        return int(await connection.fetchval("SELECT count(*) FROM transactions"))
    finally:
        await connection.close()


async def has_more(environment: dict[str, str], least: int) -> bool:
    return await stored(environment) > least
