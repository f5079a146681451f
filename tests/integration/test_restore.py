"""Windows restored from a changelog that is written in transactions, aborted ones among them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import GroupLoadInProgressError

from stream_app.batch import Output
from stream_app.settings import Settings
from stream_app.sinks.kafka import committed_positions
from stream_app.state.changelog import KafkaMismatchError, restore
from stream_app.state.store import WindowStore, WrongWindowsError, identity_of, is_damage
from stream_app.window import Window, encode_window
from tests.support.coordinator import answer_as_loading
from tests.support.outputs import transactional_output

PARTITION = 1
USERS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(50)]


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.model_validate(environment)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WindowStore]:
    store = WindowStore(tmp_path / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(PARTITION)
    yield store
    store.close(PARTITION)


def batch(number: int, users: list[str]) -> Output:
    window = encode_window(Window.of([number], last_offset=number))
    return Output(PARTITION, number, [], [], [(user.encode(), window) for user in users])


def content(store: WindowStore) -> dict[str, list[int]]:
    return {user: window.amounts for user, window in store.windows(PARTITION)}


async def test_an_empty_database_gets_every_committed_change(settings: Settings, store: WindowStore) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(batch(1, USERS))
        await publisher.commit(batch(2, USERS[:10]))
        changes: Any = [*batch(3, USERS).changes, ("no bytes", b"")]
        with pytest.raises(TypeError):
            await publisher.commit(Output(PARTITION, 3, [], [], changes))

    assert await restore(store, PARTITION, settings) == 60

    assert content(store) == {user: [2 if user in USERS[:10] else 1] for user in USERS}


async def test_windows_of_a_later_version_are_refused_in_a_line(
    settings: Settings, store: WindowStore
) -> None:
    """Restored from the changelog, or written on this machine before."""
    async with transactional_output(PARTITION, settings) as publisher:
        later = b"\xfe" + encode_window(Window.of([1]))[1:]
        await publisher.commit(Output(PARTITION, 1, [], [], [(USERS[0].encode(), later)]))

    with pytest.raises(WrongWindowsError, match=r"version 254, of a later txnwatch; .* run that one$"):
        await restore(store, PARTITION, settings)

    store.write(PARTITION, [(b"\0format", b"254")], 1)
    store.close(PARTITION)
    with pytest.raises(WrongWindowsError, match=r"windows of version 254.*: run that one$"):
        store.open(PARTITION, identity_of("cluster", "changelog", "id", PARTITION))


async def test_only_what_is_missing_is_read_and_a_second_time_nothing(
    settings: Settings, store: WindowStore
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        offset = await publisher.commit(batch(1, USERS))
        assert offset is not None
        store.write(PARTITION, batch(1, USERS).changes, offset)
        await publisher.commit(batch(2, USERS[:3]))

    assert await restore(store, PARTITION, settings) == 3
    assert await restore(store, PARTITION, settings) == 0

    assert content(store)[USERS[2]] == [2]
    assert content(store)[USERS[3]] == [1]


async def test_an_empty_changelog_restores_nothing(settings: Settings, store: WindowStore) -> None:
    assert await restore(store, PARTITION, settings) == 0
    assert content(store) == {}


async def test_windows_ahead_of_the_changelog_are_not_scored_on(
    settings: Settings, store: WindowStore
) -> None:
    store.write(PARTITION, batch(1, USERS).changes, 500)

    with pytest.raises(KafkaMismatchError, match=r"offset 500.*ends at 0"):
        await restore(store, PARTITION, settings)


async def test_a_changelog_that_once_reached_further_is_not_gone_on_from(
    settings: Settings, store: WindowStore
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(batch(1, USERS))
        await publisher.commit(batch(2, USERS[:3]))

    # Each group offset says where the changelog was before its own batch.
    assert await committed_positions(settings) == {PARTITION: (2, 49, None)}
    with pytest.raises(KafkaMismatchError, match=r"once had an offset 99 and ends at 55.*state start-over"):
        await restore(store, PARTITION, settings, reached=99)


async def test_the_first_batch_says_itself_how_far_the_changelog_reaches(
    settings: Settings, store: WindowStore
) -> None:
    """No other has said it before."""
    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(batch(1, USERS))

    positions = await committed_positions(settings)

    assert positions == {PARTITION: (1, 49, None)}
    await restore(store, PARTITION, settings, reached=49)
    assert content(store).keys() == set(USERS)


async def test_a_changelog_whose_first_changes_were_deleted_restores_no_part_of_the_windows(
    settings: Settings, store: WindowStore
) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        await publisher.commit(batch(1, USERS))
        await publisher.commit(batch(2, USERS[:3]))
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka)
    await admin.start()
    try:
        # A broker deletes nothing from a topic that is compacted alone.
        policy = {"cleanup.policy": "compact,delete"}
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, settings.changelog_topic, policy)]
        )
        changelog = TopicPartition(settings.changelog_topic, PARTITION)
        await admin.delete_records({changelog: RecordsToDelete(before_offset=20)})
    finally:
        await admin.close()

    with pytest.raises(KafkaMismatchError, match="begins at offset 20"):
        await restore(store, PARTITION, settings)
    assert content(store) == {}


async def test_a_changelog_made_anew_under_an_owner_takes_none_of_its_changes(settings: Settings) -> None:
    async with transactional_output(PARTITION, settings) as publisher:
        publisher.resume(500, 4)

        with pytest.raises(KafkaMismatchError, match=r"offset 49 of the changelog, which had 500"):
            await publisher.commit(batch(1, USERS))

    assert await committed_positions(settings) == {}


async def test_rows_past_the_end_of_the_source_are_not_gone_on_from(
    settings: Settings, store: WindowStore
) -> None:
    with pytest.raises(KafkaMismatchError, match=r"rows up to offset 7.*ends at 0.*state start-over"):
        await restore(store, PARTITION, settings, stored_up_to=7)


def test_another_installations_windows_are_refused_and_its_own_are_not(tmp_path: Path) -> None:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 20)
    ours = identity_of("cluster", "changelog", "its-id", PARTITION)
    store.open(PARTITION, ours)
    store.write(PARTITION, batch(1, USERS[:1]).changes, 1)
    store.close(PARTITION)

    for other in (
        identity_of("another", "changelog", "its-id", PARTITION),
        identity_of("cluster", "changelog", "of the next", PARTITION),
        identity_of("cluster", "changelog", "its-id", PARTITION + 1),
    ):
        with pytest.raises(WrongWindowsError, match=f"holds windows of {ours}, not of {other}"):
            store.open(PARTITION, other)
    store.open(PARTITION, ours)
    assert set(content(store)) == {USERS[0]}
    store.close(PARTITION)


def test_windows_of_before_their_folder_said_the_partition_are_taken_and_say_it_then(tmp_path: Path) -> None:
    store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(PARTITION, "cluster/changelog")
    store.close(PARTITION)

    store.open(PARTITION, identity_of("cluster", "changelog", "its-id", PARTITION))
    store.close(PARTITION)
    with pytest.raises(WrongWindowsError, match="holds windows of cluster/changelog/its-id/1"):
        store.open(PARTITION, "cluster/changelog")


def test_a_file_where_the_folder_should_be_is_said_in_a_line(tmp_path: Path) -> None:
    store = WindowStore(tmp_path / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.folder.write_text("no folder")
    with pytest.raises(WrongWindowsError, match=r"windows-1.db cannot be opened: .*TXNWATCH_DATADIR"):
        store.open(PARTITION)

    store.folder.unlink()
    store.folder.mkdir()
    (store.folder / f"windows-{PARTITION}.db").write_text("no folder")
    with pytest.raises(WrongWindowsError, match=r"windows-1.db cannot be opened: .*TXNWATCH_DATADIR"):
        store.open(PARTITION)


async def test_a_change_without_a_value_removes_the_window(store: WindowStore) -> None:
    store.write(PARTITION, batch(1, USERS[:2]).changes, 1)
    store.write(PARTITION, [(USERS[0].encode(), None)], 2)

    assert set(content(store)) == {USERS[1]}
    assert store.changelog_offset(PARTITION) == 2


def test_a_database_keeps_its_content_over_a_restart(tmp_path: Path) -> None:
    for number in range(3):
        store = WindowStore(tmp_path, cache_bytes=1 << 20, buffer_bytes=1 << 20)
        store.open(PARTITION)
        assert store.changelog_offset(PARTITION) == (number - 1 if number else None)
        store.write(PARTITION, batch(number, USERS[number : number + 1]).changes, number)
        store.close(PARTITION)

    store.open(PARTITION)
    assert set(content(store)) == set(USERS[:3])
    store.discard(PARTITION)
    store.open(PARTITION)
    assert (content(store), store.changelog_offset(PARTITION)) == ({}, None)
    store.close(PARTITION)


def test_a_database_in_use_is_refused(store: WindowStore) -> None:
    other = WindowStore(store.folder, cache_bytes=1 << 20, buffer_bytes=1 << 20)

    with pytest.raises(Exception, match=r"(?i)lock"):
        other.open(PARTITION)


def test_an_iteration_says_that_a_block_in_the_middle_cannot_be_read(tmp_path: Path) -> None:
    users = [f"00000000-0000-4000-8000-{number:012d}" for number in range(5000)]
    store = WindowStore(tmp_path / "windows", cache_bytes=1 << 20, buffer_bytes=1 << 20)
    store.open(PARTITION)
    store.write(PARTITION, batch(1, users).changes, 0)
    assert [user for user, _ in store.windows(PARTITION)] == users
    store.close(PARTITION)
    table = max(tmp_path.glob("windows/*/*.sst"), key=lambda path: path.stat().st_size)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)

    store.open(PARTITION)
    with pytest.raises(Exception, match="Corruption") as raised:
        list(store.windows(PARTITION))

    assert is_damage(raised.value)
    store.discard(PARTITION)
    store.open(PARTITION)
    store.close(PARTITION)


def test_windows_can_be_closed_in_the_middle_of_an_iteration(store: WindowStore) -> None:
    """The mirror waits for Redis there, and a rebalance does not wait for the mirror."""
    store.write(PARTITION, batch(1, USERS).changes, 0)
    windows = store.windows(PARTITION)
    assert next(windows)[0] == USERS[0]

    store.close(PARTITION)
    store.open(PARTITION)

    assert [user for user, _ in windows] == USERS[1:]


async def test_a_coordinator_that_is_loading_is_not_a_group_without_offsets(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so for all of the answer, which aiokafka does not look at."""
    answer_as_loading(monkeypatch)

    with pytest.raises(GroupLoadInProgressError):
        await committed_positions(settings)
