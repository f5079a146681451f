"""Postgres and Redis by TLS: certificate and name are checked, and what is wrong is said."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from infra.runtime.services import REDIS
from tests.support.certificates import Authority
from tests.support.installation import Installation, until
from tests.support.secure_services import Connect, postgres_by_tls, redis_by_tls
from tests.support.traffic import traffic


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the authority's certificate, another's, and a context for servers."""
    authority = Authority.new("ours")
    authority.write(tmp_path / "ca.pem")
    Authority.new("other").write(tmp_path / "other.pem")
    (tmp_path / "server.pem").write_bytes(authority.give("server"))
    return tmp_path


@pytest.fixture
def context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    return context


def connector(url: str) -> Connect:
    """What connects to a service as this test has it."""
    parts = urlsplit(url)
    if sockets := parse_qs(parts.query).get("host"):
        return partial(asyncio.open_unix_connection, f"{sockets[0]}/.s.PGSQL.5432")
    return partial(asyncio.open_connection, parts.hostname, parts.port)


@pytest.fixture
async def postgres(database: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The database's address by TLS, without a query."""
    parts = urlsplit(database)
    async with postgres_by_tls(connector(database), context) as port:
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"


@pytest.fixture
async def redis(redis_url: str, context: ssl.SSLContext) -> AsyncIterator[str]:
    """The same of Redis."""
    async with redis_by_tls(connector(redis_url), context) as port:
        yield f"rediss://127.0.0.1:{port}{urlsplit(redis_url).path}"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sslmode=verify-full&sslrootcert={folder}/ca.pem", "there are no accounts"),
        ("sslmode=verify-full&sslrootcert={folder}/other.pem", "its certificate is not trusted"),
        ("sslmode=disable", "it refuses the user, or a connection without TLS"),
    ],
)
async def test_postgres_by_tls(
    postgres: str, environment: dict[str, str], folder: Path, query: str, said: str
) -> None:
    address = f"{postgres}?{query.format(folder=folder)}"
    installation = Installation({**environment, "POSTGRES_URL": address})
    _, output = await installation.completed("txnwatch", "accounts", "list")

    assert said in output


async def test_a_name_that_the_certificate_has_not_is_not_trusted(postgres: str, folder: Path) -> None:
    foreign = postgres.replace("127.0.0.1", "127.0.0.2")
    with pytest.raises((ssl.SSLCertVerificationError, OSError)):
        await asyncpg.connect(f"{foreign}?sslmode=verify-full&sslrootcert={folder}/ca.pem")


async def test_redis_by_tls(redis: str, folder: Path) -> None:
    async with Redis.from_url(f"{redis}?ssl_ca_certs={folder}/ca.pem") as client:
        assert await client.ping()
    async with Redis.from_url(f"{redis}?ssl_ca_certs={folder}/other.pem") as client:
        with pytest.raises(REDIS.errors, match="certificate verify failed"):
            await client.ping()


@pytest.mark.slow
async def test_a_worker_stores_and_mirrors_by_tls(
    postgres: str, redis: str, environment: dict[str, str], folder: Path
) -> None:
    secured = {
        "POSTGRES_URL": f"{postgres}?sslmode=verify-full&sslrootcert={folder}/ca.pem",
        "REDIS_URL": f"{redis}?ssl_ca_certs={folder}/ca.pem",
    }
    installation = Installation({**environment, **secured})
    transactions = traffic(300)
    with installation.worker():
        await installation.send_transactions(transactions)
        await until(installation.finished)
        connection = await asyncpg.connect(environment["POSTGRES_URL"])
        stored = await connection.fetchval("SELECT count(*) FROM transactions")
        await connection.close()
    async with Redis.from_url(environment["REDIS_URL"]) as plain:
        assert await plain.exists(f"user:{transactions[-1].user_id}:window")
    assert stored == len({one.id for one in transactions})
