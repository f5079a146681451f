"""What can be seen of a detector before it runs: that it is made as `stream_app.scoring.Detector` says."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from infra.runtime.settings import SettingsError, WindowSettings
from schemas.rule import Words
from schemas.scored import VERDICT_NAMES
from schemas.transaction import Transaction
from stream_app.scoring import Detector, StateFormat
from stream_app.scoring.ensemble import check_flag, check_number, check_pure
from stream_app.window import Window

_NIL = "00000000-0000-0000-0000-000000000000"
_PROBE = Transaction(_NIL, _NIL, 1000, "EUR", datetime(2024, 1, 1, tzinfo=UTC), "paid", None)


def faults_of(name: str, found: Any) -> list[str]:
    """What is wrong with a detector that is to have this name; nothing of one that can be used.

    Raises:
        SettingsError: One of its settings cannot be used.
    """
    if not (isinstance(found, type) and issubclass(found, Detector)):
        return [f"{found!r} is no subclass of stream_app.scoring.Detector"]
    faults = [*_of_class(name, found)]
    return faults or [*_of_use(found)]


def _of_class(name: str, detector: type[Detector[Any]]) -> Iterator[str]:
    has: Callable[[str], Any] = lambda what: getattr(detector, what, None)  # noqa: E731 - may be missing
    if has("NAME") != name:
        yield f"NAME is {has('NAME')!r}, and its entry point's name {name!r}"
    if type(has("VERSION")) is not int:
        yield f"VERSION is {has('VERSION')!r}, and no int"
    if not (isinstance(has("SETTINGS"), type) and issubclass(detector.SETTINGS, WindowSettings)):
        yield "SETTINGS is no subclass of infra.runtime.settings.WindowSettings"
    if not isinstance(has("WORDS"), Words):
        yield "WORDS are no schemas.rule.Words"
    yield from _of_struct("EVIDENCE", has("EVIDENCE"))
    if has("PROFILE") is not None:
        yield from _of_struct("PROFILE", detector.PROFILE)
    if not isinstance(has("STATE"), StateFormat | None):
        yield "STATE is no stream_app.scoring.StateFormat"


def _of_struct(what: str, struct: Any) -> Iterator[str]:
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        yield f"{what} is no subclass of msgspec.Struct"
        return
    if not struct.__struct_config__.frozen:
        yield f"{what} is not frozen"
    if what == "EVIDENCE" and (taken := VERDICT_NAMES.intersection(struct.__struct_fields__)):
        yield f"EVIDENCE has {', '.join(sorted(taken))}, which verdicts have of themselves"


def _of_use(of: type[Detector[Any]]) -> Iterator[str]:
    """What goes wrong with a user of whom nothing is known yet."""
    try:
        _use(of(of.SETTINGS.load()))
    except SettingsError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is said
        yield f"with a user who is new: {type(error).__name__}: {error}"


def _use(detector: Detector[Any]) -> None:
    """Have it decide once, and say what it does."""
    check_number("threshold", detector.threshold)
    fresh = _round_trip(detector.STATE) if detector.STATE else None
    score, evidence = detector.score_one(Window(), fresh, _PROBE)
    check_number("score", score)
    if evidence is not None:
        check_flag(detector, score, evidence)
    check_pure(detector, Window(), fresh, _PROBE)
    rule_text = detector.sentence(), detector.lines()
    msgspec.json.encode(rule_text)


def _round_trip(form: StateFormat[Any]) -> Any:
    """The fresh state, as it comes back from its bytes."""
    data = form.encode(form.fresh)
    if form.encode(form.decode(data)) != data:
        raise ValueError("STATE.fresh does not come back from its bytes as it was")
    return form.fresh
