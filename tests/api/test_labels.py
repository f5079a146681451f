"""`POST /transactions/{id}/label`: what became known of a transaction is a decision."""

from typing import Any

import pytest

from api.settings import Settings
from tests.support.rows import FLAG, made, store, user
from tests.support.serving import Client, serving

PLAIN = made(user(1), 1, merchant_id="bakery")
FLAGGED = made(user(1), 2, flag=FLAG, merchant_id="bakery")


async def post(client: Client, of: str, body: Any, **query: str) -> tuple[int, Any]:
    """Status and JSON of a label."""
    async with client.post(f"/transactions/{of}/label", json=body, params=query) as response:
        return response.status, await response.json()


async def test_a_label_is_a_decision_and_the_same_again_is_none(settings: Settings) -> None:
    await store(settings.postgres.get_secret_value(), [PLAIN, FLAGGED])
    async with serving(settings) as client:
        first = await post(client, PLAIN.txn.id, {"label": "fraud"}, who="ann", why="called")
        again = await post(client, PLAIN.txn.id, {"label": "fraud"}, who="bob")
        date = FLAGGED.txn.txn_date.isoformat()
        whole = {"label": "fraud", "user_id": user(1), "txn_date": date}
        flagged = await post(client, FLAGGED.txn.id, whole)
        other = await post(client, PLAIN.txn.id, {"label": "legitimate"})
        async with client.get("/decisions?kind=label") as response:
            decisions = (await response.json())["decisions"]

    answers = [(status, one["seq"], one["changed"]) for status, one in (first, again, flagged, other)]
    assert answers == [(200, 1, True), (200, 1, False), (200, 2, True), (200, 3, True)]
    assert [(one["who"], one["body"]["fraud"], one["body"]["explained"]) for one in reversed(decisions)] == [
        ("ann", True, False),
        ("the API", True, True),
        ("the API", False, False),
    ]
    assert decisions[-1]["body"]["merchant_id"] == "bakery"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"label": "fraud"}, 404),
        ({"label": "perhaps"}, 422),
        ({"label": "fraud", "user_id": "7"}, 422),
        ({"label": "fraud", "txn_date": "2026-04-01T09:30:00"}, 422),
        ({"label": "fraud", "txn_date": "0001-01-01T00:00:00+14:00"}, 422),
        ({"label": "fraud", "lable": 1}, 422),
        ([], 422),
    ],
)
async def test_what_is_no_label_or_of_nothing_is_refused(client: Client, body: Any, status: int) -> None:
    answer, problem = await post(client, user(77), body)

    assert answer == status
    if status == 422:
        assert problem["detail"] == "The label is not accepted, and nothing has changed."


async def test_a_foreign_page_labels_nothing(client: Client) -> None:
    async with client.post(f"/transactions/{user(1)}/label", data="{}") as response:
        assert response.status == 415
    asks = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with client.options(f"/transactions/{user(1)}/label", headers=asks) as response:
        assert response.headers["Allow"] == "OPTIONS, POST"
        assert response.headers["Access-Control-Allow-Methods"] == "OPTIONS"


async def test_a_label_for_another_users_transaction_is_refused(settings: Settings) -> None:
    await store(settings.postgres.get_secret_value(), [PLAIN])
    async with serving(settings) as client:
        status, problem = await post(client, PLAIN.txn.id, {"label": "fraud", "user_id": user(2)})

    assert (status, problem["detail"]) == (404, "There is no such transaction of this user.")
