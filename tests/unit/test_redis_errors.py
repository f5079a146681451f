"""Which errors of Redis pass, by whatever name Redis has for them."""

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from infra.runtime.redis import concerns_all, passes, reason
from tests.support.services import free_port

OLD_SCRIPT = "ERR Error running script (call to f_5ca1e): @user_script:8:"  # of Redis 6
PASSING = [
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 5ca1e, on @user_script:8.",
    f"{OLD_SCRIPT} @user_script: 8: -READONLY You can't write against a read only slave.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    f"{OLD_SCRIPT} @user_script: 8: -OOM command not allowed when used memory > 'maxmemory'.",
    "LOADING Redis is loading the dataset in memory",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN Hash slot not served",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "ERR max number of clients reached",
]
LASTING = [
    "NOPERM User default has no permissions to run the 'evalsha' command",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "DENIED Redis is running in protected mode",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "MOVED 3999 127.0.0.1:6381",
]
OF_ONE_KEY = [
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    f"{OLD_SCRIPT} WRONGTYPE Operation against a key holding the wrong kind of value",
    "ERR value is not an integer or out of range",
]


def parsed(answer: str) -> Exception:
    error: Exception = BaseParser.parse_error(answer)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize("answer", PASSING)
def test_what_redis_answers_while_it_cannot_write_passes(answer: str) -> None:
    assert passes(parsed(answer))
    assert concerns_all(parsed(answer))


@pytest.mark.parametrize(
    "error", [exceptions.ConnectionError("reset"), exceptions.TimeoutError(), OSError(), TimeoutError()]
)
def test_what_happens_to_connections_passes(error: Exception) -> None:
    assert passes(error)
    assert concerns_all(error)


@pytest.mark.parametrize("answer", LASTING)
def test_what_somebody_has_to_mend_is_of_redis_as_a_whole(answer: str) -> None:
    assert not passes(parsed(answer))
    assert concerns_all(parsed(answer))


@pytest.mark.parametrize("answer", OF_ONE_KEY)
def test_what_is_wrong_with_one_key_does_not_keep_the_others(answer: str) -> None:
    assert not passes(parsed(answer))
    assert not concerns_all(parsed(answer))


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AuthenticationError("invalid username-password pair"), "it refuses the password"),
        (ResponseError("WRONGPASS invalid username-password pair"), "it refuses the password"),
        (ResponseError("CROSSSLOT Keys in request don't hash"), "it is a cluster, and one server is needed"),
        (ResponseError("WRONGTYPE Operation against a key"), ""),
        (TimeoutError(), "it did not answer in time"),
    ],
    ids=str,
)
def test_why_it_does_not_answer(error: Exception, why: str) -> None:
    assert reason(error) == why


async def test_a_closed_port_is_told() -> None:
    async with Redis(port=free_port()) as redis:
        with pytest.raises(RedisError) as refused:
            await redis.ping()

    assert reason(refused.value) == "nothing listens at its address"
