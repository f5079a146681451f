"""Input that is read more than once: what comes through a pipe is kept in a temporary file meanwhile."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.produce.files import STDIN, InputError


@contextmanager
def rereadable(path: Path) -> Iterator[Path]:
    """The path of a file with the same content, there for as long as this is entered.

    Raises:
        InputError: It cannot be read, or the folder of TMPDIR has no room.
    """
    if path != STDIN and (path.is_file() or not path.exists()):
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="txnwatch-") as kept:
        try:
            with sys.stdin.buffer if path == STDIN else path.open("rb") as source:
                shutil.copyfileobj(source, kept, 1 << 20)
            kept.flush()
        except OSError as error:
            raise InputError(f"cannot be kept in the folder of TMPDIR: {error.strerror}") from error
        yield Path(kept.name)
