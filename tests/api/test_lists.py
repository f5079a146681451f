"""`/lists…` and `/suppressions`: what rules look into, and what is watched instead of flagged."""

from typing import Any

import pytest

from api.settings import Settings
from tests.support.serving import Client, serving

USER = "6f1c3b64-8d0a-4b67-9a53-0c6c9d1a7e10"


async def sent(client: Client, method: str, path: str, body: Any) -> tuple[int, Any]:
    async with client.request(method, path, json=body) as response:
        return response.status, await response.json()


async def got(client: Client, path: str) -> Any:
    async with client.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_list_is_put_changed_and_read_by_pages(settings: Settings) -> None:
    async with serving(settings, dependency_seconds=20) as client:
        assert await got(client, "/lists/blocked") == {"entries": []}
        put = await sent(client, "PUT", "/lists/blocked?who=ann", {"entries": ["zoo", "Ä", "bakery", "zoo"]})
        await sent(client, "POST", "/lists/blocked/add", {"entries": ["cinema"]})
        await sent(client, "POST", "/lists/blocked/remove", {"entries": ["zoo", "none"]})

        assert put == (200, {"seq": 1, "published": True, "reason": ""})
        assert await got(client, "/lists/blocked") == {"entries": ["bakery", "cinema", "Ä"]}
        assert await got(client, "/lists/blocked?limit=1&after=bakery") == {"entries": ["cinema"]}
        assert await got(client, "/lists/other") == {"entries": []}
        first = (await got(client, "/decisions?kind=list"))["decisions"][-1]
        assert (first["who"], first["body"]["count"], "entries" in first["body"]) == ("ann", 3, False)


async def test_a_suppression_is_decided_listed_replaced_and_ended(client: Client) -> None:
    body = {"user_id": USER.upper(), "until": "2026-05-01T00:00:00Z"}
    await sent(client, "POST", "/suppressions?who=ann", {**body, "rule": "rent"})
    await sent(client, "POST", "/suppressions?who=ann", body)
    await sent(client, "POST", "/suppressions?who=bob", {**body, "until": "2026-06-01T00:00:00Z"})

    found = (await got(client, "/suppressions"))["suppressions"]
    assert [(one["seq"], one["who"], one["suppression"]["rule"]) for one in found] == [
        (3, "bob", ""),
        (1, "ann", "rent"),
    ]
    assert found[0]["suppression"]["user_id"] == USER
    await sent(client, "POST", "/suppressions", {"user_id": USER, "until": None})
    assert [one["seq"] for one in (await got(client, "/suppressions"))["suppressions"]] == [1]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PUT", "/lists/blocked", {"entries": ["a\nb"]}, "1 to 256 printable characters"),
        ("PUT", "/lists/blocked", {"entries": [7]}, "Expected `str`"),
        ("PUT", "/lists/blocked", {}, "missing required field `entries`"),
        ("POST", "/suppressions", {"until": None}, "name a user, a rule, or both"),
        ("POST", "/suppressions", {"rule": "a"}, "missing required field `until`"),
        ("POST", "/suppressions", {"rule": "a", "until": "2026-05-01T00:00:00"}, "Expected `datetime`"),
        ("POST", "/suppressions", {"rule": "a\u0000", "until": None}, "NUL"),
        ("POST", "/suppressions", {"user_id": "bob", "until": None}, "matching regex"),
        ("POST", "/suppressions", [], "no suppression"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    client: Client, method: str, path: str, body: Any, said: str
) -> None:
    status, problem = await sent(client, method, path, body)

    assert status == 422
    assert said in problem["errors"][0]["detail"]
    assert await got(client, "/decisions") == {"decisions": [], "cursor": ""}
