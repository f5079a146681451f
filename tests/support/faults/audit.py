"""Holds everything that the worker wrote against the oracle's replay of the input topic."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from stream_app.state.store import WindowStore
from stream_app.window import Window, decode_window
from stream_app.window.recent import key_of
from tests.support.faults.oracle import Expected, Findings, Judge, Place, Record, UserWindow, replay
from tests.support.installation import Installation

Fold = dict[str, bytes]

NEXT_OFFSETS = "SELECT partition, next_offset FROM sink_offsets WHERE next_offset > 0 AND app_id = $1"


async def audit(
    installation: Installation,
    offsets: Mapping[int, int],
    datadirs: Sequence[Path],
    *,
    mirror: bool,
    log: Sequence[Record] | None = None,
    judge: Judge | None = None,
) -> Findings:
    """What is lost, doubled or wrong anywhere, now that the workers of these data folders have ended.

    `log` is what was on the input topic, where that no longer has all of it; `judge` gives verdicts of others
    than the default rule.
    """
    log = await installation.read("TXNWATCH_TRANSACTIONS_TOPIC") if log is None else log
    expected = replay(log, judge)
    findings = Findings()
    await _topics(installation, expected, findings)
    findings.compare("committed offset", expected.next_offsets, offsets.items())
    await _postgres(installation, expected, findings)
    await _windows(installation, expected, findings, datadirs)
    if mirror:
        await _mirror(installation, expected, findings)
    return findings


async def written(installation: Installation) -> dict[str, dict[Any, Any]]:
    """All that workers have written for others, by where and under which key."""
    topics = {
        name: await installation.read(f"TXNWATCH_{name.upper()}_TOPIC")
        for name in ("scored", "anomalies", "dlq")
    }
    topics["changelog"] = await installation.read_changelog()
    found: dict[str, dict[Any, Any]] = {
        name: {(one.partition, one.offset): (one.key, one.value) for one in records}
        for name, records in topics.items()
    }
    found["rows"] = {(row["id"], row["txn_date"], row["user_id"]): row for row in await installation.rows()}
    async with installation.postgres() as connection:
        found["sink_offsets"] = dict(
            await connection.fetch(NEXT_OFFSETS, installation.environment["TXNWATCH_APP_ID"])
        )
    return found


def changes(before: dict[str, dict[Any, Any]], after: dict[str, dict[Any, Any]]) -> Findings:
    """What of it has changed, where nothing may have."""
    findings = Findings()
    for where, content in before.items():
        findings.compare(where, content, after[where].items())
    return findings


async def _topics(installation: Installation, expected: Expected, findings: Findings) -> None:
    scored = await installation.read("TXNWATCH_SCORED_TOPIC")
    anomalies = await installation.read("TXNWATCH_ANOMALIES_TOPIC")
    letters = await installation.read("TXNWATCH_DLQ_TOPIC")
    findings.compare("scored", expected.scored, ((source(one), _json(one)) for one in scored))
    findings.compare("anomalies", expected.anomalies, ((source(one), _json(one)) for one in anomalies))
    findings.compare("dead letters", expected.letters, ((source(one), _letter(one)) for one in letters))
    for topic, records in (("scored", scored), ("anomalies", anomalies), ("dead letters", letters)):
        findings.wrong += [f"{topic}: not in the order of the source: {one}" for one in out_of_order(records)]


async def _postgres(installation: Installation, expected: Expected, findings: Findings) -> None:
    rows = await installation.rows()
    findings.compare(
        "rows", expected.rows, (((row["id"], row["txn_date"], row["user_id"]), row) for row in rows)
    )
    async with installation.postgres() as connection:
        users = await connection.fetch("SELECT user_id::text, true FROM users")
        offsets = await connection.fetch(NEXT_OFFSETS, installation.environment["TXNWATCH_APP_ID"])
    findings.compare("users", dict.fromkeys(expected.users, True), users)
    findings.compare("sink_offsets", expected.next_offsets, offsets)


async def _windows(
    installation: Installation, expected: Expected, findings: Findings, datadirs: Sequence[Path]
) -> None:
    """The changelog's fold is the replay; each RocksDB is that fold up to its offset, one up to the end."""
    log = await installation.read_changelog()
    changes = {
        partition: [change for change in log if change.partition == partition]
        for partition in {change.partition for change in log}
    }
    whole = {user: _window(data) for records in changes.values() for user, data in _fold(records).items()}
    findings.compare("changelog", {u: _known(w) for u, w in expected.windows.items()}, whole.items())
    for partition, records in changes.items():
        reached = [await _database(folder, partition, records, findings) for folder in datadirs]
        # Notes that are no user's may come after.
        if max((-1 if at is None else at for at in reached), default=-1) < records[-1].offset:
            findings.lost.append(
                f"RocksDB: partition {partition} is nowhere at the changelog's end: {reached}"
            )


async def _database(
    folder: Path, partition: int, changes: Sequence[Record], findings: Findings
) -> int | None:
    """The changelog offset of a data folder's database, which is held against the changelog up to there."""
    if not (folder / "windows" / f"windows-{partition}.db").exists():
        return None
    store = WindowStore(folder / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(partition)
    offset = store.changelog_offset(partition)
    content = {user: _window_of(window) for user, window in store.windows(partition)}
    store.close(partition)
    fold = _fold(change for change in changes if offset is not None and change.offset <= offset)
    expected = {user: _window(data) for user, data in fold.items()}
    findings.compare(f"RocksDB {folder.name}/{partition}", expected, content.items())
    return offset


async def _mirror(installation: Installation, expected: Expected, findings: Findings) -> None:
    async with Redis.from_url(installation.environment["REDIS_URL"], decode_responses=True) as redis:
        found = {}
        for user in expected.windows:
            shown: Any = await redis.hgetall(f"user:{user}:window")
            amounts: Any = await redis.lrange(f"user:{user}:txn_amounts", 0, -1)
            if shown:
                offset, count = int(shown["last_offset"]), int(shown["count"])
                found[user] = (amounts, shown["sum"], count, offset)
    findings.compare("mirror", {u: _mirrored(w) for u, w in expected.windows.items()}, found.items())


def _mirrored(window: UserWindow) -> tuple[list[str], str, int, int]:
    """The window of the currency used last."""
    [*_, last] = window.amounts.values()
    return [*map(_text, reversed(last))], _text(sum(last)), len(last), window.last_offset


def source(record: Record) -> Place:
    """Where an output record says that it comes from."""
    headers = dict(record.headers)
    return int(headers["source-partition"]), int(headers["source-offset"])


def out_of_order(records: Iterable[Record]) -> list[Place]:
    """Places of records that come at or after one of a later source offset in their partition."""
    last: dict[int, int] = {}
    found = []
    for record in records:
        partition, offset = source(record)
        if offset <= last.get(partition, -1):
            found.append((partition, offset))
        last[partition] = offset
    return found


def _json(record: Record) -> Any:
    return json.loads(record.value or b"null")


def _letter(record: Record) -> tuple[str, bytes | None, bytes]:
    return dict(record.headers)["reason"].decode(), record.key, record.value or b""


def _fold(changes: Iterable[Record]) -> Fold:
    fold: Fold = {}
    for change in changes:
        user = (change.key or b"").decode()
        if change.value is None:
            fold.pop(user, None)
        else:
            fold[user] = change.value
    return fold


def _known(window: UserWindow) -> tuple[Any, ...]:
    """What has to be in a user's record."""
    keys = [key_of(UUID(one).bytes) for one in window.ids]
    return [*window.amounts.items()], keys, window.last_offset, window.updated_at


def _window(data: bytes) -> tuple[Any, ...]:
    return _window_of(decode_window(data))


def _window_of(window: Window) -> tuple[Any, ...]:
    amounts = [(currency, its.amounts) for currency, its in window.by_currency.items()]
    return amounts, window.recent_keys, window.last_offset, window.updated_at


def _text(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02d}"
