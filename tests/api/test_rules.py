"""`/rules` and `/decisions`: what holds, how it is changed, and what is refused."""

from io import BytesIO
from typing import Any

import pytest

from api.settings import Settings
from tests.support.serving import Client, serving

ODDS, MEAN = {"detector": "odds"}, {"detector": "rolling_mean"}


async def put(client: Client, body: Any, seen: int | None = 0, **headers: str) -> tuple[int, Any, Any]:
    """Status, JSON and ETag of an attempt to change the rule set."""
    tag = {} if seen is None else {"If-Match": f'"{seen}"'}
    how: dict[str, Any] = {"data": body} if isinstance(body, str | bytes | BytesIO) else {"json": body}
    async with client.put("/rules", params={"who": "ann"}, headers=tag | headers, **how) as response:
        return response.status, await response.json(), response.headers.get("ETag")


async def get(client: Client, path: str) -> Any:
    async with client.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_rule_set_is_changed_listed_and_rolled_back(settings: Settings) -> None:
    async with serving(settings, dependency_seconds=20) as client:
        assert await get(client, "/rules") == {"decision": None, "applied": [], "off": [], "features": []}
        status, made, tag = await put(client, ODDS)
        assert (status, made["published"], tag) == (200, True, '"1"')
        await put(client, 'detector = "rolling_mean"', 1, **{"Content-Type": "application/toml"})
        async with client.post(
            "/rules/rollback", json={"seq": 1}, headers={"If-Match": '"2"'}, params={"why": "too many"}
        ) as response:
            assert (await response.json())["decision"]["body"] == ODDS

        holding = (await get(client, "/rules"))["decision"]
        assert (holding["seq"], holding["body"], holding["why"]) == (3, ODDS, "too many")
        first = await get(client, "/rules/history?limit=2")
        rest = await get(client, f"/decisions?kind=rules&cursor={first['cursor']}")
        assert [one["body"] for one in first["decisions"] + rest["decisions"]] == [ODDS, MEAN, ODDS]
        assert rest["decisions"][0]["who"] == "ann"


async def test_who_has_not_seen_the_newest_changes_nothing(client: Client) -> None:
    assert (await put(client, ODDS, None))[0] == 428
    status, problem, _ = await put(client, ODDS, 7)

    assert status == 412
    assert problem["detail"] == "Somebody has decided since: the newest decision on rules is 0, not 7."
    assert await get(client, "/decisions") == {"decisions": [], "cursor": ""}


@pytest.mark.parametrize(
    ("body", "where", "said"),
    [
        ({"detector": "ods"}, "body", "there is no detector ods"),
        ({"detector": 7}, "detector", "not a text such as"),
        ({"odds": {"day": "x"}}, "body", "[odds]"),
        ([], "body", "not a table"),
        (b"{", "body", "truncated"),
        ({"rules": [{"name": "a", "when": "amount >"}]}, "rules[0].when at 9", ""),
        ({"odds": {"a": "\0"}}, "body", ""),
    ],
)
async def test_what_is_wrong_is_refused_with_its_place(
    client: Client, body: Any, where: str, said: str
) -> None:
    status, problem, _ = await put(client, body, 0, **{"Content-Type": "application/json"})

    assert status == 422
    assert problem["errors"][0]["parameter"] == where
    assert said in problem["errors"][0]["detail"]
    assert await get(client, "/decisions") == {"decisions": [], "cursor": ""}


async def test_a_page_of_a_foreign_origin_changes_nothing(client: Client) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert (await put(client, "{}", 0, **{"Content-Type": kind}))[0] == 415
    assert (await put(client, ODDS, 0, Origin="https://evil.example"))[0] == 403
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"}
    async with client.options("/rules", headers=asks) as response:
        assert "PUT" not in response.headers["Access-Control-Allow-Methods"]
    assert await get(client, "/decisions") == {"decisions": [], "cursor": ""}


async def test_one_that_is_too_large_or_not_there_is_refused(client: Client) -> None:
    how = {"Content-Type": "application/toml"}
    assert (await put(client, BytesIO(b"#" * 1_000_000), 0, **how))[0] == 200
    assert (await put(client, BytesIO(b"#" * 1_100_000), 1, **how))[0] == 413
    async with client.post("/rules/rollback", json={"seq": 9}, headers={"If-Match": '"1"'}) as response:
        assert response.status == 404


async def test_without_its_topic_a_decision_is_kept_and_said_not_to_be_published(client: Client) -> None:
    status, made, _ = await put(client, ODDS)

    assert (status, made["published"], made["decision"]["seq"]) == (200, False, 1)
    assert made["reason"].startswith("no topic")
