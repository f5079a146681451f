"""The interface of the three servers."""

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pwd import struct_passwd
from typing import ClassVar, Literal

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Server(ABC):
    """One server of a data folder: `folder` holds its data, `log` is the file it writes to.

    `ports` are those of all servers of the folder, by name; those of `port_names` are this one's.
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
        """An argument of its command line that no other process has, as it holds the folder's path."""

    @property
    def account(self) -> struct_passwd | None:
        """The account that runs it, None for our own."""
        return None

    def fetch(self, report: Report) -> None:  # noqa: B027 - most have nothing to fetch
        """Download what it runs on, unless that is here.

        Raises:
            ServiceError: It cannot be downloaded.
        """

    @abstractmethod
    def prepare(self, report: Report) -> tuple[str, ...]:
        """Make everything ready for a start in `folder`; return the command line that starts it.

        Raises:
            ServiceError: Something is missing or failed.
        """

    def tidy(self) -> None:  # noqa: B027 - most leave nothing
        """Remove what the ended server left outside its folder."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves a client's request now."""
