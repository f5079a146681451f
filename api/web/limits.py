"""How often each caller may ask: TXNWATCH_API_BURST at once, then TXNWATCH_API_RATE a second; else 429."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import hdrs, web

from api.web.problems import Problem

LEFT: Final = web.RequestKey("left", dict[str, str])
"""Of a request, the headers that say how much is left to the caller."""
_MOST_CALLERS = 10_000
_TINY = 1e-6  # what rounding may take
_NET_BITS = 64
"""Of an IPv6 address: what one household or one server is given, with all addresses in it."""


class RateLimits:
    """A token bucket for each caller, of the last 10,000: it has `burst` requests, and gets `rate` a second.

    Kept is when a bucket will be full again (as GCRA does). Each process counts by itself.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._span, self._clock = 1 / rate, burst / rate, clock
        self._always = {
            "RateLimit-Limit": str(burst),
            "RateLimit-Policy": f"{burst};w={math.ceil(self._span)}",
        }
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, who: str) -> dict[str, str]:
        """One request of a caller; the headers that say how many are left, and in how many seconds all are.

        Raises:
            Problem: 429, there is none.
        """
        now = self._clock()
        filled = max(self._full_at.get(who, now), now)
        missing = filled + self._each - now - self._span
        if missing > _TINY:
            headers = {hdrs.RETRY_AFTER: str(math.ceil(missing)), **self._left(filled - now)}
            raise Problem(429, "Too many requests: wait a moment.", headers=headers)
        self._full_at[who] = filled + self._each
        self._full_at.move_to_end(who)
        if len(self._full_at) > _MOST_CALLERS:
            self._full_at.popitem(last=False)
        return self._left(filled + self._each - now)

    def _left(self, seconds: float) -> dict[str, str]:
        left = int((self._span - seconds) / self._each + _TINY)
        return {
            **self._always,
            "RateLimit-Remaining": str(max(left, 0)),
            "RateLimit-Reset": str(math.ceil(seconds)),
        }


async def tell_left(request: web.Request, response: web.StreamResponse) -> None:
    """Add to an answer that is about to be sent how much is left to the caller."""
    left: Mapping[str, str] = request.get(LEFT, {})
    for name, value in left.items():
        response.headers.setdefault(name, value)


def address_of(request: web.Request, proxies: int) -> str:
    """The caller's address: the one that the outermost of our `proxies` has added to X-Forwarded-For.

    Those further left in the header may be invented by the caller, who would get a new limit with each.
    """
    passed = ",".join(request.headers.getall(hdrs.X_FORWARDED_FOR, [])).split(",")
    named = passed[-proxies].strip() if 0 < proxies <= len(passed) else ""
    try:
        address = ipaddress.ip_address(named or request.remote or "")
    except ValueError:
        return request.remote or ""
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((int(address), _NET_BITS), strict=False))
    return str(address)
