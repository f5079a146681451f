"""Who uses a command."""

import getpass
import os


def this_user() -> str:
    """The name of this machine's user, or the number of one that has no name, as in containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
