"""A user's window from a real worker, while Redis is away."""

from typing import Any

from pydantic import SecretStr

from tests.support.installation import Installation, ended, until
from tests.support.serving import DEAD, serving, settings_from
from tests.support.traffic import traffic


async def test_the_worker_says_what_the_mirror_would(environment: dict[str, str]) -> None:
    installation = Installation(environment)
    worker_url = f"http://127.0.0.1:{environment['TXNWATCH_WEB_PORT']}"
    settings = settings_from({**environment, "TXNWATCH_WORKER_URL": worker_url})
    away = settings.model_copy(update={"redis": SecretStr(f"redis://{DEAD}/0")})
    transactions = traffic(500, users=5)
    await installation.send_transactions(transactions)
    with installation.worker() as worker:
        await until(installation.finished)
        async with serving(settings) as mirrored, serving(away) as asking:
            for user in {one.user_id for one in transactions}:
                answers: list[Any] = []
                for client in (mirrored, asking):
                    async with client.get(f"/users/{user}/stats") as response:
                        assert response.status == 200
                        answers.append(await response.json())
                assert answers[0] == answers[1]
            async with asking.get("/users/00000000-0000-4000-8000-000000000000/stats") as response:
                assert response.status == 404
        assert await ended(worker) == 0
