"""How often a caller may ask, by a bucket of requests that fills; and whose request one is behind proxies."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from api.web.limits import RateLimits, address_of
from api.web.problems import Problem


class Clock:
    """A clock that is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_used_up_comes_back_at_the_rate() -> None:
    clock = Clock()
    limits = RateLimits(rate=2, burst=4, clock=clock)
    left = [limits.take("ann") for _ in range(4)]
    assert [one["RateLimit-Remaining"] for one in left] == ["3", "2", "1", "0"]
    assert [one["RateLimit-Reset"] for one in left] == ["1", "1", "2", "2"]
    assert left[0].items() >= {"RateLimit-Limit": "4", "RateLimit-Policy": "4;w=2"}.items()

    for _ in range(3):  # what is refused is not charged
        with pytest.raises(Problem) as refused:
            limits.take("ann")
        assert refused.value.status == 429
        assert refused.value.headers["Retry-After"] == "1"
        assert refused.value.headers["RateLimit-Remaining"] == "0"
    assert limits.take("bob")["RateLimit-Remaining"] == "3"
    clock.now += 0.5
    assert limits.take("ann")["RateLimit-Remaining"] == "0"
    clock.now += 1000
    assert limits.take("ann")["RateLimit-Remaining"] == "3"


def test_of_all_callers_the_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.web.limits._MOST_CALLERS", 10)
    limits = RateLimits(rate=0.001, burst=1)
    for number in range(20):
        limits.take(f"from {number}")

    for number in range(10, 20):
        with pytest.raises(Problem):
            limits.take(f"from {number}")
    assert limits.take("from 0")


@pytest.mark.parametrize(
    ("passed", "proxies", "expected"),
    [
        ([], 0, "127.0.0.1"), (["192.0.2.1"], 0, "127.0.0.1"), ([], 1, "127.0.0.1"),
        (["made up, 192.0.2.1"], 1, "192.0.2.1"), (["198.51.100.7", "192.0.2.1, 10.0.0.1"], 2, "192.0.2.1"),
        (["192.0.2.1"], 2, "127.0.0.1"), (["unknown"], 1, "127.0.0.1"), ([" "], 1, "127.0.0.1"),
        (["2001:db8:1:2:3::4"], 1, "2001:db8:1:2::/64"), (["::ffff:192.0.2.1"], 1, "192.0.2.1"),
    ],
)  # fmt: skip
def test_whose_request_it_is_says_the_nearest_proxy_that_is_ours(
    passed: list[str], proxies: int, expected: str
) -> None:
    headers = [("X-Forwarded-For", one) for one in passed]
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers)).clone(remote="127.0.0.1")

    assert address_of(request, proxies) == expected
