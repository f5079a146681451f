"""How many files and connections the system lets this process have open."""

import resource
import sys
from contextlib import suppress


def most_open_files() -> int:
    """The limit, raised as far as a process may raise it: many systems begin with 1,024 (`ulimit -n`)."""
    with suppress(ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
