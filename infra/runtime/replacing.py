"""Files that are put in the place of others once they are whole."""

from pathlib import Path

from infra.runtime.cli_errors import StopError


def check_replaceable(path: Path) -> None:
    """See that there is nothing at a path, or a file: a device or a pipe would be gone for everybody.

    Raises:
        StopError: There is something else.
    """
    if path.exists() and not path.is_file():
        raise StopError(f"{path}: is no file: name one, or a place where there is none yet")
