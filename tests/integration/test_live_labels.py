"""Labels that are given while a worker runs reach the detector that asks for them, on every partition."""

from dataclasses import replace

import asyncpg
import msgspec

from infra.decisions.labels import Asked, give_labels
from infra.decisions.publisher import publish
from stream_app.settings import Settings
from tests.support.installation import Installation, ended, until
from tests.support.traffic import Sent, traffic

SHOPS = ["bakery", "cinema"]
FRAUDS = 3
PARTITIONS = 4


def at_shops(seed: int, start: int = 0) -> list[Sent]:
    """Payments at both in turn, all of them ordinary."""
    paid = traffic(200, users=20, seed=seed, start=start)
    return [replace(one, amount="10.00", merchant_id=SHOPS[number % 2]) for number, one in enumerate(paid)]


async def label(connection: asyncpg.Connection, paid: list[Sent], *, fraud: bool) -> list[int]:
    rows = await connection.fetch(
        "SELECT id::text, user_id::text, txn_date FROM transactions WHERE id = ANY($1::uuid[])",
        [one.id for one in paid],
    )
    asked = [Asked(row["id"], row["user_id"], row["txn_date"], fraud) for row in rows]
    return [answer.seq or 0 for answer in await give_labels(connection, asked, "ann", "")]


async def test_frauds_at_a_merchant_flag_what_comes_there_until_one_is_legitimate(
    environment: dict[str, str],
) -> None:
    environment = environment | {"TXNWATCH_DETECTOR": "merchant_labels"}
    installation, settings = Installation(environment), Settings.model_validate(environment)
    before, then, later = at_shops(1), at_shops(2, 300), at_shops(3, 600)
    bakery = [one for one in before if one.merchant_id == "bakery"]

    async def send(paid: list[Sent]) -> None:
        await installation.send_transactions(paid)
        await until(installation.finished)

    async def decide(paid: list[Sent], *, fraud: bool) -> None:
        async with installation.postgres() as connection:
            seqs = await label(connection, paid, fraud=fraud)
            await publish(settings, settings.postgres.get_secret_value())

            async def everywhere() -> bool:
                statement = "SELECT count(*) FROM decisions_applied WHERE seq = $1"
                return bool(await connection.fetchval(statement, max(seqs)) == PARTITIONS)

            await until(everywhere)

    with installation.worker() as worker:
        await send(before)
        await decide(bakery[:FRAUDS], fraud=True)
        await send(then)
        assert await ended(worker) == 0
    with installation.worker() as worker:  # what labels said is kept
        await send(at_shops(4, 500))
        await decide(bakery[FRAUDS : FRAUDS + 1], fraud=False)
        await send(later)
        assert await ended(worker) == 0

    flagged = [msgspec.json.decode(one.value) for one in await installation.read("TXNWATCH_ANOMALIES_TOPIC")]
    ids = {one["id"] for one in flagged}
    assert {one["meta_data"]["merchant_frauds"] for one in flagged} == {FRAUDS}
    expected = [one.id for one in then + at_shops(4, 500) if one.merchant_id == "bakery"]
    assert ids == {*expected}
    assert len(flagged) == len(expected)
