"""What the three services have in common."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from infra.embedded.processes import Account

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Service(ABC):
    """One server of a data folder: `folder` holds its data, `log` is the file it writes to.

    `ports` has a number for each of `port_names`, 0 where none was chosen yet.
    """

    name: ClassVar[str]
    role: ClassVar[Literal["kafka", "postgres", "redis"]]
    port_names: ClassVar[tuple[str, ...]] = ()
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 15.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    folder: Path
    log: Path
    ports: dict[str, int]

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients reach it."""

    @property
    @abstractmethod
    def marker(self) -> str:
        """An argument of its command line that no other process has: it holds the folder's path."""

    @property
    def account(self) -> Account | None:
        """Who runs it, None for the user that we are."""
        return None

    def fetch(self, report: Report) -> None:  # noqa: B027 - most have nothing to fetch
        """Bring what it runs on and is not here yet, if anything.

        Raises:
            ServiceError: It cannot be had.
        """

    @abstractmethod
    def prepare(self, report: Report) -> tuple[str, ...]:
        """Make everything ready for a start in `folder`; the command line that starts it.

        Raises:
            ServiceError: Something is missing or failed.
        """

    def tidy(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what the ended server left outside its folder."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves a client's request now."""
