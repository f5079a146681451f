"""Files of KEY=value lines, such as .env."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from dotenv import set_key

from infra.runtime.replacing import check_replaceable


def write_env_file(path: Path, values: Mapping[str, str]) -> None:
    """Set these keys in the file; its other lines and its permissions stay as they are.

    A reader sees the old file or the new one, never half. A new file is for its owner alone, as it may
    be given passwords. Where the path is a symbolic link, the file that it leads to is written.

    Raises:
        StopError: There is something else than a file.
    """
    path = path.resolve()
    check_replaceable(path)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)  # of a command that was killed
    draft.touch(mode=0o600, exist_ok=False)
    if path.exists():
        shutil.copyfile(path, draft)
    for name, value in values.items():
        set_key(draft, name, value, quote_mode="never")
    if path.exists():
        shutil.copymode(path, draft)
    draft.replace(path)
