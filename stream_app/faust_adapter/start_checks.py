"""What has to be so on this machine before a worker starts."""

import os
import socket
from pathlib import Path

from infra.runtime.cli_errors import StopError


class StartError(StopError):
    """The worker cannot start here; the message names the variable."""


def make_folder(datadir: Path) -> None:
    """Make the folder of the windows, unless it is there.

    Raises:
        StartError: It cannot be made, or written to.
    """
    try:
        datadir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"TXNWATCH_DATADIR: {datadir} is no folder to write to: {error}") from None
    if not os.access(datadir, os.W_OK | os.X_OK):
        owner, user = datadir.stat().st_uid, os.geteuid()
        raise StartError(f"TXNWATCH_DATADIR: {datadir} is uid {owner}'s, and uid {user} may not write to it")


def check_port(host: str, port: int) -> None:
    """Look whether the web views can listen: Faust binds after all else has started.

    Raises:
        StartError: They cannot, as the port is taken or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            taken = f"port {port} of {host} for the web views: {error.strerror}"
            raise StartError(f"{taken}: TXNWATCH_WEB_PORT or --web-port") from None
