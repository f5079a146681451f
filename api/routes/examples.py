"""What parameters and answers look like, for the OpenAPI document."""

from typing import Any

import msgspec

from api.dashboard import answers as shown
from api.routes import answers
from api.web.problems import ParameterError, ProblemDocument
from schemas.scored import Scored

_USER = "0b6c2c1e-3d4e-4f5a-8b9c-0d1e2f3a4b5c"
_CURSOR = "AAVoviljRcBvHC0-SltMbY5_gJGis8TVCmZ1M0vfk8eNkIjb3aEbSLIk"
_FLAG = {
    "is_anomaly": True,
    "detector": "rolling_mean",
    "mean": "134.43",
    "window": 15,
    "ratio": 10.31,
    "threshold": "672.15",
}
_ROW = {
    "id": "6f1c2d3e-4a5b-4c6d-8e7f-8091a2b3c4d5",
    "user_id": _USER,
    "amount": "1385.86",
    "currency": "EUR",
    "txn_date": "2018-04-01T00:00:31Z",
    "status": "paid",
    "meta_data": _FLAG,
}
_AT = 1522540831000

PARAMETERS = {
    "limit": 100,
    "cursor": _CURSOR,
    "is_anomaly": True,
    "after": _AT,
    "prefix": "0b6c2c1e-3d",
}
"""By name, where the kind itself has none."""

FILES = {"/docs/{file}": "swagger-ui.css", "/dashboard/{file}": "style.css"}
"""By path."""

EVENTS = (
    ": txnwatch\nretry: 2741\nid: 1f0c9a3e.0-14.1-7.2-0.3-99\n\n"
    f"id: 1f0c9a3e.0-15.1-7.2-0.3-99\ndata: {msgspec.json.encode(_ROW).decode()}\n\n"
)

BODIES: dict[Any, Any] = {
    Scored: _ROW,
    ProblemDocument: ProblemDocument(
        title="Unprocessable Entity",
        status=422,
        detail="Not accepted: limit.",
        errors=[ParameterError("limit", "must be a whole number from 1 to 1000")],
    ),
    answers.Health: answers.Health(),
    answers.Readiness: answers.Readiness(
        ready=True,
        dependencies={
            "kafka": answers.Dependency("up"),
            "postgres": answers.Dependency("up"),
            "redis": answers.Dependency("down", "Redis does not answer."),
        },
    ),
    answers.UsersPage: answers.UsersPage([_USER], _CURSOR),
    answers.TransactionsPage: {"transactions": [_ROW], "cursor": _CURSOR},
    answers.Stats: answers.Stats(
        user_id=_USER,
        count=3,
        mean="134.43",
        sum="403.29",
        amounts=["120.00", "183.29", "100.00"],
        last_offset=4711,
        updated_at="2018-04-01T00:00:31Z",
    ),
    shown.PulsePage: shown.PulsePage(
        now=_AT,
        samples=[shown.Sample(_AT - 200, 181.0, 184.0, 1.9, shown.Produced(str(_ROW["id"]), _AT - 900))],
        partitions=[shown.Lag(partition=0, end=4713, committed=4711, lag=2)],
    ),
    shown.Workers: shown.Workers(
        group="txnwatch",
        state="stable",
        workers=[shown.Worker("faust-0.15.3-6b8688ed", "127.0.0.1", "127.0.0.1:6066", [0, 1, 2])],
        unassigned=[3],
    ),
    shown.RefusedPage: shown.RefusedPage(
        total=1,
        complete=True,
        reasons={"amount": 1},
        last=[shown.Refused(_AT, "amount", "'NaN': not a decimal number", _USER, '{"amount":"NaN"}', 2, 17)],
    ),
    shown.Rule: shown.Rule(detector="rolling_mean", window=20, minimum=5, factor=5.0),
    shown.UserIds: shown.UserIds([_USER]),
}
"""By type; each as it is sent, or the object that becomes that."""
