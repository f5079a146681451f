"""The `windows` table as Faust sees it: its web views, its place in the group, its routing.

Faust's own writing, changelog and recovery of tables are not used: the pipeline writes by batch
(`stream_app.state.store`), the changelog is part of the batch's transaction (`stream_app.sinks.kafka`), and
`stream_app.state.changelog` reads it back.
"""

import shutil
from collections.abc import Iterator
from typing import Any, NoReturn

import faust
import msgspec
from faust.stores.base import Store

from stream_app.state.store import describe


class WindowTable(faust.Table):  # type: ignore[misc]
    """A Faust table whose values are the readable windows of the app's `WindowStore`."""

    def __init__(self, app: faust.App) -> None:
        super().__init__(
            app,
            name="windows",
            help="Each user's last amounts, by user id.",
            key_type=bytes,  # as in the changelog, so that routing hashes what producers hash
            beacon=app.tables.beacon,
        )

    def _new_store(self) -> "ReadableWindows":
        return ReadableWindows("rocksdb://", self.app, self)


class ReadableWindows(Store):  # type: ignore[misc]
    """The windows open here as a read-only mapping from user id to readable window."""

    def __getitem__(self, user_id: str) -> dict[str, Any]:
        window = self.app.windows.find(user_id)
        if window is None:
            raise KeyError(user_id)
        view: dict[str, Any] = msgspec.to_builtins(describe(user_id, window))
        return view

    def __contains__(self, user_id: object) -> bool:
        return self.app.windows.find(str(user_id)) is not None

    def __iter__(self) -> Iterator[str]:
        windows = self.app.windows
        return (user for partition in windows.partitions for user, _ in windows.windows(partition))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _read_only(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("only the pipeline writes windows, and its changelog is their backup")

    __setitem__ = __delitem__ = apply_changelog_batch = backup_partition = restore_backup = _read_only

    def persisted_offset(self, _tp: Any) -> None:
        """None: restoring keeps its own offsets."""

    def reset_state(self) -> None:
        """Remove the local windows (`faust reset`); the next start restores them from the changelog."""
        shutil.rmtree(self.app.windows.folder, ignore_errors=True)
