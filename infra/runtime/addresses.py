"""Where services are, and what an address has to look like: libraries stumble over others, and show them."""

import ipaddress
import re
from collections.abc import Container
from math import isfinite
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, SecretStr

_HIGHEST_PORT = 65_535
_SERVER = re.compile(r"([^\s,:/@\[\]]+|\[[0-9A-Fa-f:.]+(%\w+)?\]):(\d{1,5})", re.ASCII)
_PORT = re.compile(r":\d+$")
# Parameters of Redis' URLs.
_NUMBERS = {"db", "health_check_interval", "max_connections", "socket_connect_timeout", "socket_timeout"}


class KafkaAccess(NamedTuple):
    """How a client of Kafka connects: what KafkaSettings has of it."""

    security: str = "PLAINTEXT"
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: SecretStr = SecretStr("")
    login: str = ""
    user: str = ""
    password: SecretStr = SecretStr("")
    token_url: str = ""
    token_scope: str = ""

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security.endswith("SSL")

    @property
    def has_login(self) -> bool:
        """Whether a user logs in."""
        return self.security.startswith("SASL_")


class ProviderAccess(NamedTuple):
    """A provider of logins by OpenID Connect, and as whom we are registered there."""

    issuer: str
    client_id: str
    client_secret: SecretStr
    """Empty for a public client."""
    redirect_uri: str
    scope: str


def check_servers(value: str) -> str:
    """The same text.

    Raises:
        ValueError: It is no list of servers.
    """
    for server in value.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 0 < int(found[3]) <= _HIGHEST_PORT:
            raise ValueError("must be host:port, several separated by commas, an IPv6 address in [brackets]")
    return value


def url_of(*schemes: str) -> AfterValidator:
    """Accept URLs that begin with one of these; Postgres URLs may name several hosts."""
    start = " or ".join(schemes)

    def check(url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        parts = _parsed(text) if text.startswith(schemes) else None
        if parts is None:
            raise ValueError(
                f"must be a URL that starts with {start}, its port 1 to 65535, its parameters name=value"
            )
        # Libraries split at the first @ or /, and show the rest of the password as a host or a database.
        if parts.netloc.count("@") > 1 or "@" in parts.path + parts.query or parts.fragment:
            raise ValueError("write @ as %40, / as %2F, ? as %3F and # as %23 in its user and password")
        return url

    return AfterValidator(check)


def _parsed(url: str) -> SplitResult | None:
    """The URL's parts; None where a library would stumble over a host, a port or a parameter, and show it."""
    try:
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        numbers = [float(parameters[name]) for name in _NUMBERS & parameters.keys()]
        ports = [urlsplit(f"//{host}").port for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        return None
    return None if 0 in ports or not all(map(isfinite, numbers)) else parts


def is_safe(address: str) -> bool:
    """Whether what is sent there is seen by nobody else."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


def servers_of(url: str) -> str:
    """A URL's scheme and servers; empty where what follows them could be a part of a password.

    >>> servers_of("redis://user:secret@localhost:6379/0"), servers_of("http://user:se/cret@localhost")
    ('redis://localhost:6379', '')
    """
    scheme, _, rest = url.partition("://")
    servers = re.split("[/?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{servers.rpartition('@')[2]}" if rest and "@" not in rest[len(servers) :] else ""


def is_loopback(host: str) -> bool:
    """Whether an address or a name is of this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def host_of(origin: str) -> str:
    """The host of an origin as browsers send it; empty without one.

    >>> host_of("http://localhost:5173"), host_of("http://[::1]:80"), host_of("null"), host_of("http://[")
    ('localhost', '::1', '', '')
    """
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""


def is_near(remote: str, headers: Container[str]) -> bool:
    """Whether a request comes from this machine, and by no proxy; `headers` know names in either case."""
    return is_loopback(remote) and not ("X-Forwarded-For" in headers or "Forwarded" in headers)


def own_names(host: str) -> frozenset[str]:
    """What pages of this machine call a service that listens on this loopback address, as in `Host`."""
    return frozenset({"localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host.lower()})


def called(host: str) -> str:
    """The name in the header `Host`, without its port."""
    return _PORT.sub("", host.lower())
