"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


class OutputError(Exception):
    """A file cannot be written; the message names it."""


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A file that gets its name when all went well, and else is gone; a pipe or a device is written as it is.

    Raises:
        OutputError: It cannot be written, which shows at once.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        with _opened(path, path, "w") as file:
            yield file
        return
    whole = path.resolve()
    part = whole.with_name(f".{whole.name}.{os.getpid()}")
    if whole.is_dir() or (whole.exists() and not os.access(whole, os.W_OK)):
        raise OutputError(f"{path} cannot be written: it is {'a folder' if whole.is_dir() else 'read-only'}")
    try:
        with _opened(part, path, "x") as file:
            yield file
        part.replace(whole)
    finally:
        part.unlink(missing_ok=True)


def _opened(path: Path, name: Path, mode: str) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8", newline="", buffering=1 << 18)  # type: ignore[return-value]
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror}") from error
