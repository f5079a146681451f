"""Labels: what became known of a transaction."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api.routes.rules import answered
from api.settings import Settings
from api.web.body import JSON, NO_JSON, read_body
from api.web.params import UUID, path, query, text
from api.web.problems import ParameterError, Problem
from api.web.route import Route, json_response
from infra.decisions.labels import Asked, LabelOutcome, label_one
from schemas.access import Scope
from schemas.decision import LONGEST_WHO, LONGEST_WHY
from schemas.text import Uuid


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoLabels:
    """The transaction, and who says so."""

    id: str = path(UUID, "The transaction.")
    who: str = query(text(LONGEST_WHO, "ann"), "Who says so, for the history.", default="the API")
    why: str = query(text(LONGEST_WHY, "the customer called"), "What for, for the history.", default="")


class GivenLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became known; user and date are needed where several transactions have the id."""

    label: Literal["fraud", "legitimate"]
    user_id: Uuid | None = None
    txn_date: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class LabelAnswer(msgspec.Struct, frozen=True):
    """The decision that holds now."""

    seq: int
    """Its number: the former one's where the transaction had this label."""
    changed: bool
    published: bool
    """Whether it is on the control topic by now."""
    reason: str = ""
    """Why it is not; it is tried again every second."""


@dataclass(frozen=True)
class LabelRoutes:
    """`/transactions/{id}/label`."""

    settings: Settings

    @Route(
        "/transactions/{id}/label",
        "labels_give",
        method="POST",
        needs=Scope.LABEL,
        parameters=WhoLabels,
        takes={JSON: GivenLabel},
        body=LabelAnswer,
        depends=True,
        finds=True,
    )
    async def give(self, request: web.Request, query: WhoLabels) -> web.Response:
        """Say that a transaction was a fraud, or legitimate; workers apply it as a decision.

        The same label again changes nothing; another one takes its place.
        """
        try:
            given = msgspec.json.decode(await read_body(request, JSON), type=GivenLabel)
            user = UUID.parse(given.user_id) if given.user_id else ""
            date = given.txn_date and given.txn_date.astimezone(UTC)
        except (*NO_JSON, ValueError, OverflowError) as error:
            raise _refused("body", str(error)) from None
        settings = self.settings
        asked = Asked(query.id, user, date, given.label == "fraud")
        giving = label_one(
            settings,
            settings.postgres.get_secret_value(),
            asked,
            (query.who, query.why),
            within=settings.dependency_seconds,
        )
        answer, why_not = await answered(giving, "label")
        if answer.seq is None:
            raise _problem(answer.outcome)
        return json_response(
            LabelAnswer(answer.seq, answer.outcome != LabelOutcome.KNOWN, not why_not, why_not)
        )


def _problem(outcome: LabelOutcome) -> Problem:
    if outcome is LabelOutcome.AMBIGUOUS:
        return _refused("body", "several transactions have this id: name user_id and txn_date")
    of = " of this user" if outcome is LabelOutcome.OF_OTHERS else ""
    return Problem(404, f"There is no such transaction{of}.")


def _refused(where: str, what: str) -> Problem:
    return Problem(
        422, "The label is not accepted, and nothing has changed.", errors=[ParameterError(where, what)]
    )
