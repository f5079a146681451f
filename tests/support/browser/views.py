"""The page's views, what each shows once it has settled, and rows for them to show."""

from typing import Any

from tests.support.browser.site import Site
from tests.support.rows import FLAG, made, user

VIEWS = {"live": "", "users": "/users", "user": f"/users/{user()}?from_date=2018-01-01", "health": "/health"}
SETTLED = {
    "live": "#feed li",
    "users": "#recent li",
    "user": "#chart-amounts canvas",
    "health": '[data-service="kafka"][data-state="up"]',
}


async def filled(site: Site) -> None:
    """Store rows of one user, the last one flagged, and its window."""
    rows = [made(user(), number, meta_data={"shop": "one"}) for number in range(30)]
    where: dict[str, Any] = {
        "merchant_id": "merchant" * 8,
        "card_id": "c" * 64,
        "country": "IN",
        "channel": "w" * 32,
    }
    await site.store(*rows, made(user(), 30, hundredths=9_999_999_999_999, flag=FLAG, **where))
    await site.mirror(user(), [1230] * 20)
