"""Faust's table manager and recovery, with taking partitions over in place of Faust's own restoring."""

from aiokafka.errors import IllegalStateError
from faust.tables import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service


class PartitionRecovery(Recovery):  # type: ignore[misc]
    """After each rebalance, takes the assigned partitions over and lets the streams go on."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            generation_id = self._generation_id
            try:
                await self._wait(self._recover(generation_id))
            except (RebalanceAgain, IllegalStateError):
                continue
            except ServiceStopped:
                if self.should_stop:
                    break
                # Faust calls a wait that ran out of time stopped, too.
                raise TimeoutError("going to the committed offsets took too long") from None

    async def _recover(self, generation_id: int) -> None:
        partitions = sorted(tp.partition for tp in self.active_tps)
        if await self.app.ownership.acquire(partitions):
            await self.on_recovery_completed(generation_id)

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Nothing to read: restoring does."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _publish_stats(self) -> None:
        """Nothing to report: restoring logs."""


class PartitionTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with `PartitionRecovery`."""

    _own_recovery: PartitionRecovery | None = None

    @property
    def recovery(self) -> PartitionRecovery:
        """The recovery service."""
        if self._own_recovery is None:
            self._own_recovery = PartitionRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
            self._recovery = self._own_recovery
        return self._own_recovery
