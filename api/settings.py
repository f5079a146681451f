"""The API's settings, from the environment or `.env`."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Field, PositiveFloat, SecretStr, model_validator

from infra.runtime.addresses import ProviderAccess, is_loopback, is_safe, own_names
from infra.runtime.health_settings import HealthSettings
from infra.runtime.logs import LogSettings
from infra.runtime.settings import (
    DataSettings,
    KeySettings,
    MessageSettings,
    MonthSettings,
    ServiceSettings,
    SettingsGroup,
    TopicSettings,
)
from infra.runtime.web_secret_settings import WebSecretSettings
from schemas.access import Scope

_RATE = 100.0


class HttpSettings(SettingsGroup):
    """Where the API listens, for whom, and how long an answer may take and is kept."""

    host: str = Field("127.0.0.1", alias="TXNWATCH_API_HOST", min_length=1)
    """Where the API listens."""
    port: int = Field(8000, alias="TXNWATCH_API_PORT", ge=0, le=65_535)
    """On which port it listens."""
    login: Literal["auto", "required", "off"] = Field("auto", alias="TXNWATCH_API_LOGIN")
    """Whether callers have to say who they are; auto: unless it listens on this machine alone."""
    session_hours: float = Field(12, alias="TXNWATCH_API_SESSION_HOURS", gt=0, le=8760)
    """How long somebody stays logged in, in hours."""
    hosts: str = Field("", alias="TXNWATCH_API_HOSTS")
    """The names that it is called by (the header Host), separated by commas; * for any. Empty: this machine's
    own where it listens on it alone, else any."""
    rate: Annotated[float, Field(ge=0, le=1_000_000)] | Literal["auto"] = Field(
        "auto", alias="TXNWATCH_API_RATE"
    )
    """How many requests a second each caller may send in the long run, by account, token or else address;
    0: any number; auto: 100 where callers have to say who they are."""
    burst: int = Field(500, alias="TXNWATCH_API_BURST", ge=1, le=1_000_000)
    """How many requests a caller who has been quiet may send at once."""
    proxies: int = Field(0, alias="TXNWATCH_API_PROXIES", ge=0, le=10)
    """How many proxies stand before it, each of which adds to X-Forwarded-For who asked it: limits by address
    are then the callers', not the proxy's. 0: the header is not believed."""
    root_path: str = Field("", pattern=r"^(/[A-Za-z0-9._~-]+)*$")
    """The path that a proxy serves the API under and leaves out of what it passes on, such as /txn; pages and
    links work without it, it is for what names whole addresses: the OpenAPI document and `event: gap`."""
    cors_origins: str = "local"
    """The origins whose pages may read its answers, separated by commas; local for those of this machine, *
    for any."""
    cursor_key: SecretStr = SecretStr("")
    """What cursors are signed with, the same for all processes; empty: a key kept in TXNWATCH_DATADIR."""
    worker_url: str = Field("http://127.0.0.1:6066", pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    """Any worker's web views, which say what rule runs, and have the windows while Redis is away."""

    drain_seconds: float = Field(5, alias="TXNWATCH_API_DRAIN_SECONDS", ge=0, le=3600)
    """How long after SIGTERM it goes on serving while /ready says 503, in seconds; another signal ends it at
    once, as Ctrl-C does."""
    query_cache_seconds: float = Field(2, ge=0, le=3600)
    """How long the answer to a query is kept, in seconds; 0 for not at all."""
    query_cache_closed_seconds: float = Field(30, ge=0, le=86_400)
    """How long it is kept where the range has ended already, in seconds."""
    database_connections: int = Field(10, alias="TXNWATCH_API_DATABASE_CONNECTIONS", ge=1, le=1000)
    """How many connections to Postgres one process opens at the most."""
    dependency_seconds: PositiveFloat = Field(3, alias="TXNWATCH_API_DEPENDENCY_SECONDS")
    """How long a service may take to answer before it counts as down, in seconds."""
    query_seconds: PositiveFloat = Field(10, alias="TXNWATCH_API_QUERY_SECONDS")
    """How long a query may take, in seconds."""
    log_requests: bool = Field(default=False, alias="TXNWATCH_API_LOG_REQUESTS")
    """Whether every answer is logged: its route, who asked, its status and how long it took."""
    posted_bytes: int = Field(32 << 20, alias="TXNWATCH_API_POSTED_BYTES", ge=1 << 20)
    """How much of what is posted may be in work at the same time, in bytes; others are told to come back."""

    @property
    def needs_login(self) -> bool:
        """Whether callers have to say who they are."""
        return self.login == "required" or (self.login == "auto" and not is_loopback(self.host))

    @property
    def most_a_second(self) -> float:
        """TXNWATCH_API_RATE in numbers; 0: any."""
        return self.rate if self.rate != "auto" else _RATE * self.needs_login

    @property
    def host_names(self) -> frozenset[str]:
        """The names of TXNWATCH_API_HOSTS in small letters, without ports; empty: any."""
        if self.hosts:
            names = {one.strip().lower() for one in self.hosts.split(",") if one.strip()}
            return frozenset() if "*" in names else frozenset(names)
        return own_names(self.host) if is_loopback(self.host) else frozenset()

    @property
    def origins(self) -> frozenset[str]:
        """The origins of TXNWATCH_CORS_ORIGINS, a comma list, with `local` and `*` as they stand there."""
        return frozenset(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())


class ProviderSettings(SettingsGroup):
    """Logging in by an OpenID Connect provider, beside passwords."""

    oidc_issuer: str = ""
    """The provider's issuer, such as https://login.example/realms/ours; empty: none."""
    oidc_client_id: str = ""
    """The client that the API is there."""
    oidc_client_secret: SecretStr = SecretStr("")
    """Its secret; empty for a public client."""
    oidc_url: str = ""
    """Where browsers find the API, such as https://txn.example: the provider sends people back to
    /session/provider/callback below it, which has to be registered there."""
    oidc_label: str = Field("single sign-on", min_length=1, max_length=100)
    """What the page to log in at calls the provider."""
    oidc_scope: str = "openid email"
    """What the provider is asked for; it has to give the claims of name and rights in its identity token."""
    oidc_name_claim: str = "email"
    """The claim that has people's names here."""
    oidc_rights_claim: str = "groups"
    """The claim that has the groups or roles by which they have rights; dots lead into objects, such as
    realm_access.roles."""
    oidc_log_out: bool = False
    """Whether who logs out here is sent to log out at the provider too, where its discovery document has an
    end_session_endpoint. They come back to /login below TXNWATCH_OIDC_URL, to be registered there for it."""
    oidc_rights: str = ""
    """The scopes of each group as JSON, of * for everybody: {"*": ["read"], "fraud": ["label", "decide"]}."""

    @property
    def rights(self) -> Mapping[str, frozenset[Scope]]:
        """TXNWATCH_OIDC_RIGHTS.

        Raises:
            ValueError: It is no such JSON.
        """
        try:
            return msgspec.json.decode(self.oidc_rights or "{}", type=dict[str, frozenset[Scope]])
        except msgspec.DecodeError as error:
            raise ValueError(f"TXNWATCH_OIDC_RIGHTS: {error}") from None

    @model_validator(mode="after")
    def _provider_is_whole(self) -> Self:
        if not self.oidc_issuer:
            return self
        if not (self.oidc_client_id and self.oidc_url and self.rights):
            raise ValueError(
                "TXNWATCH_OIDC_CLIENT_ID, TXNWATCH_OIDC_URL, TXNWATCH_OIDC_RIGHTS: needed with "
                "TXNWATCH_OIDC_ISSUER"
            )
        for name, url in (("ISSUER", self.oidc_issuer), ("URL", self.oidc_url)):
            if not is_safe(url) or set("?#\\ ") & {*url}:
                raise ValueError(f"TXNWATCH_OIDC_{name}: must be https://…, or http://… of this machine")
        return self

    @property
    def provider(self) -> ProviderAccess | None:
        """The provider; None where there is none."""
        if not self.oidc_issuer:
            return None
        back = f"{self.oidc_url.rstrip('/')}/session/provider/callback"
        who = self.oidc_client_id, self.oidc_client_secret
        return ProviderAccess(self.oidc_issuer, *who, back, self.oidc_scope)


class StreamSettings(SettingsGroup):
    """Answers that go on: exports, and live streams with their clients."""

    exports: int = Field(2, alias="TXNWATCH_API_EXPORTS", ge=1, le=1000)
    """How many exports run at the same time."""
    export_seconds: PositiveFloat = Field(600, alias="TXNWATCH_API_EXPORT_SECONDS")
    """How long an export may take, in seconds."""
    stream_clients: int = Field(15_000, alias="TXNWATCH_SSE_CLIENTS", ge=1)
    """How many live clients one process serves, if it may open so many files; others are told to come back
    later."""
    heartbeat_seconds: PositiveFloat = Field(8, alias="TXNWATCH_SSE_HEARTBEAT_SECONDS")
    """How often a live stream that has nothing to say says so, in seconds: many clients wait for 10."""
    send_seconds: PositiveFloat = Field(30, alias="TXNWATCH_SSE_SEND_SECONDS")
    """How long a live client may leave its data unread before it is cut off, in seconds."""
    buffer_bytes: int = Field(1 << 20, alias="TXNWATCH_SSE_BUFFER_BYTES", ge=1)
    """How much waits for one live client before it is cut off, in bytes."""
    retry_milliseconds: int = Field(2000, alias="TXNWATCH_SSE_RETRY_MILLISECONDS", ge=0)
    """How soon a live client that was cut off comes back, in milliseconds."""
    history_readers: int = Field(4, alias="TXNWATCH_SSE_HISTORY_READERS", ge=1, le=64)
    """How many reads of what live clients missed run at the same time; each is for all who missed it."""
    linger_seconds: PositiveFloat = Field(10, alias="TXNWATCH_SSE_LINGER_SECONDS")
    """How long Kafka is read on after the last live client has left, in seconds."""


class Settings(
    LogSettings,
    ServiceSettings,
    TopicSettings,
    KeySettings,
    DataSettings,
    MessageSettings,
    HttpSettings,
    ProviderSettings,
    WebSecretSettings,
    MonthSettings,
    HealthSettings,
    StreamSettings,
):
    """One API process's settings."""
