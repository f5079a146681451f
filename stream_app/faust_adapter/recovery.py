"""Faust's table manager and recovery, with taking partitions over in place of Faust's own restoring."""

from typing import Any

from aiokafka.errors import IllegalStateError
from faust.tables import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode import Service


class PartitionRecovery(Recovery):  # type: ignore[misc]
    """Takes the assigned partitions over after each rebalance, then lets messages flow."""

    _rebalance = 0
    """The count of rebalances when the partitions that are taken over were assigned."""

    async def on_rebalance(self, *arguments: Any) -> None:
        """Take over what was assigned."""
        self._rebalance = self.app.rebalancing_count
        await super().on_rebalance(*arguments)

    @Service.task  # type: ignore[untyped-decorator]
    async def _restart_recovery(self) -> None:
        while not await self.wait_for_stopped(self.signal_recovery_start):
            self.signal_recovery_start.clear()
            try:
                await self._wait(self._recover(self._rebalance))
            except (RebalanceAgain, IllegalStateError):
                continue
            except ServiceStopped:
                break

    async def _recover(self, rebalance: int) -> None:
        app = self.app
        if app.rebalancing_count != rebalance:
            return
        if not await app.ownership.acquire(sorted(tp.partition for tp in self.active_tps)):
            return
        await app.on_rebalance_complete.send()
        self._set_recovery_ended()
        await self._wait(app.consumer.perform_seek())
        # Faust resumes also when the next rebalance has begun. The pumps would then read partitions that are
        # being taken over, from the offsets of before, and wait for a batch that is never finished.
        if app.rebalancing_count == rebalance:
            await self._let_messages_flow()

    async def _let_messages_flow(self) -> None:
        """Resume everything, without an await at which a rebalance could come between."""
        consumer = self.app.consumer
        consumer.resume_partitions({tp for tp in consumer.assignment() if not self._is_changelog_tp(tp)})
        self.completed.set()
        self.app.flow_control.resume()
        consumer.resume_flow()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        self.app.on_rebalance_end()
        await self.app._fetcher.maybe_start()  # noqa: SLF001 - as Faust's recovery does
        self.log.info("Worker ready")

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Nothing to read: restoring does."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _publish_stats(self) -> None:
        """Nothing to report: restoring logs."""


class PartitionTableManager(TableManager):  # type: ignore[misc]
    """Faust's table manager with `PartitionRecovery`."""

    _recovery: PartitionRecovery | None = None

    @property
    def recovery(self) -> PartitionRecovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = PartitionRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
