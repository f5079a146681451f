"""How far the sending of a file has come, in a small file beside it: what `--resume` goes on from."""

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

import msgspec

from infra.produce.errors import InputError

_NOTE_SECONDS = 1.0


class PartitionPosition(msgspec.Struct):
    """What is known to be on a partition: so many of the file's records, in its order."""

    next_offset: int
    """Where records of the file may follow that are not counted here."""
    count: int = 0
    checksum: int = 0
    """Of their values: a file that has changed does not have it."""

    def add(self, *values: bytes) -> None:
        """Count records."""
        self.count += len(values)
        self.checksum = crc32(b"".join(values), self.checksum)


class SentPosition(msgspec.Struct):
    """How far a file has come on a topic."""

    topic: str
    topic_id: str
    partitions: list[PartitionPosition]

    @property
    def count(self) -> int:
        """How many records are known to be on the topic."""
        return sum(one.count for one in self.partitions)


@dataclass
class PositionFile:
    """The file beside the one that is sent. While this is held, no other process sends that one so."""

    sent: Path
    _locked: int = field(default=-1, init=False)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.sent.with_name(f".{self.sent.name}.sent")

    def hold(self) -> bool:
        """Whether no other process holds it; it ends with the process."""
        self._locked = os.open(self.sent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # also of a file system that has no locks
            self.release()
            return False
        return True

    def release(self) -> None:
        """Let others have it."""
        os.close(self._locked)

    def load(self) -> SentPosition | None:
        """What it says; None where there is none.

        Raises:
            InputError: It cannot be read.
        """
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=SentPosition)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"{self.path} does not say how far it was sent: {error}") from error

    def known(self) -> int:
        """How many records are known to have been sent by a run that was ended."""
        with suppress(InputError):
            return noted.count if (noted := self.load()) else 0
        return 0

    def save(self, position: SentPosition) -> bool:
        """Replace it as a whole; whether that could be done."""
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            new.write_bytes(msgspec.json.encode(position))
            new.replace(self.path)
        except OSError:
            return False
        return True

    def remove(self) -> None:
        """Remove it: all is sent."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


@dataclass
class SendingProgress:
    """How far a run has come; it is noted every second."""

    file: PositionFile
    position: SentPosition
    """What is acknowledged."""
    skipped: int = 0
    """Records that were on the topic before."""
    sent: list[PartitionPosition] = field(init=False)
    """What is sent, the offsets apart."""
    _noted: float = field(default=float("-inf"), init=False)

    def __post_init__(self) -> None:
        self.sent = [msgspec.structs.replace(one) for one in self.position.partitions]

    def acknowledged(self, partition: int, next_offset: int, count: int, checksum: int) -> None:
        """Take how far a partition has come."""
        self.position.partitions[partition] = PartitionPosition(next_offset, count, checksum)

    def close(self, *, complete: bool) -> bool:
        """Write it down, or remove it where all is sent; whether a run can go on from here."""
        if complete:
            self.file.remove()
        return not complete and self.file.save(self.position)

    def note(self) -> bool:
        """Write it down, if the last time was a second ago; whether that could be done."""
        if time.monotonic() - self._noted < _NOTE_SECONDS:
            return True
        self._noted = time.monotonic()
        return self.file.save(self.position)
