"""Which value of a record is which field of a transaction, by names and by what the values are."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.mapping.amount_marks import Written, written
from infra.mapping.date_forms import DateForm, form_of
from infra.mapping.sample import SeenValues
from infra.produce.columns import Columns
from infra.produce.labels import label_columns

Words = Mapping[str, Sequence[str]]
_WORDS: Final[Mapping[str, Words]] = json.loads(Path(__file__).with_name("words.json").read_text("utf-8"))
_KNOWN: Final = 4.0  # the name is one that files usually have for the field
_MIN: Final = 1.5
_CLOSE: Final = 0.5
_LONG: Final = 5  # letters of words that others may begin with
_SCORES: Final = {"against": -2.5, "strong": 2.0, "weak": 0.7}
_UUID = re.compile(r"\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?", re.IGNORECASE)
_CARD_NUMBER = re.compile(r"[0-9]{13,19}")
_CODE = re.compile(r"[A-Za-z]{3}")
NUMERIC: Final = {
    "036": "AUD",
    "124": "CAD",
    "156": "CNY",
    "208": "DKK",
    "344": "HKD",
    "348": "HUF",
    "356": "INR",
    "392": "JPY",
    "578": "NOK",
    "702": "SGD",
    "710": "ZAR",
    "752": "SEK",
    "756": "CHF",
    "784": "AED",
    "826": "GBP",
    "840": "USD",
    "946": "RON",
    "949": "TRY",
    "978": "EUR",
    "985": "PLN",
    "986": "BRL",
}
"""The numbers by which messages of cards name currencies."""
_LAND = re.compile(r"[A-Za-z]{2}")
_MOST_CURRENCIES, _MOST_STATUSES, _MOST_CHANNELS, _MIN_USERS = 60, 30, 50, 2
_REPEATED = 0.98


@dataclass
class Chosen:
    """The value of each field that was found, and how its dates and amounts are written."""

    fields: dict[str, SeenValues] = field(default_factory=dict)
    date: DateForm | None = None
    amount: Written | None = None
    labels: list[str] = field(default_factory=list)
    rivals: dict[str, str] = field(default_factory=dict)
    """Another value that might as well be the field's."""


@dataclass(frozen=True)
class _Candidate:
    """A value of records, and what its texts can be."""

    seen: SeenValues
    form: DateForm | None
    marks: Written | None

    @property
    def is_word(self) -> bool:
        """Whether it is neither a date nor a number with decimals."""
        return self.form is None and not (self.marks is not None and self.marks.has_decimals)


def chosen(columns: Sequence[SeenValues]) -> Chosen:
    """What is which field. Fields that nothing fits are not there."""
    found = Chosen(labels=[*label_columns([one.path for one in columns], {}).values()])
    left = [_candidate(one) for one in columns if one.values and one.path not in found.labels]
    known = {(path, name) for name, path in Columns().pick(tuple(one.path for one in columns)).items()}
    for name, bonus in _BONUS.items():
        scores = [
            (more + (_KNOWN if (one.seen.path, name) in known else name_score(name, one.seen.words)), one)
            for one in left
            if (more := bonus(one)) is not None
        ]
        if best := _take(name, scores, found):
            left.remove(best)
    return found


def _candidate(seen: SeenValues) -> _Candidate:
    form = form_of(seen)
    return _Candidate(seen, form, None if form else written(seen))


def _take(name: str, scores: Sequence[tuple[float, _Candidate]], found: Chosen) -> _Candidate | None:
    """Give a field the value that scores best, the first of several."""
    most, best = max(scores, key=lambda scored: scored[0], default=(0.0, None))
    if best is None or most < _MIN:
        return None
    rivals = [one.seen.path for score, one in scores if one is not best and score > most - _CLOSE]
    if rivals:
        found.rivals[name] = rivals[0]
    found.fields[name] = best.seen
    if name == "txn_date":
        found.date = best.form
    if name == "amount":
        found.amount = best.marks
    return best


def is_card_number(seen: SeenValues) -> bool:
    """Whether the values look like numbers of whole cards, which should not be stored without a decision."""
    return all(map(_CARD_NUMBER.fullmatch, seen.distinct)) and bool({"cc", "card", "pan"} & {*seen.words})


def is_uuid(seen: SeenValues) -> bool:
    """Whether all values are UUIDs."""
    return all(map(_UUID.fullmatch, seen.distinct))


def name_score(name: str, words: Sequence[str]) -> float:
    """How much the words of a name speak for a field."""
    return sum(_word_score(_WORDS[name], word) for word in words)


def _word_score(known: Words, word: str) -> float:
    for kind, score in _SCORES.items():
        if word in known[kind]:
            return score
    # As in Buchungstag and Kontonummer.
    return _SCORES["strong"] if word.startswith(_long(known)) else 0.0


def _long(known: Words) -> tuple[str, ...]:
    return tuple(word for word in known["strong"] if len(word) >= _LONG)


def _date(one: _Candidate) -> float | None:
    return 1.0 if one.form is not None and len(one.seen.values) == one.seen.count else None


def _amount(one: _Candidate) -> float | None:
    if one.marks is None or one.seen.distinct <= {"0", "1"}:
        return None
    return 1.0 if one.marks.has_decimals else 0.0


def _currency(one: _Candidate) -> float | None:
    words = one.seen.distinct
    are_codes = all(map(_CODE.fullmatch, words)) or words <= NUMERIC.keys()
    return 1.0 if len(words) < _MOST_CURRENCIES and are_codes else None


def _id(one: _Candidate) -> float | None:
    if not one.is_word or len(one.seen.distinct) < one.seen.count:
        return None
    return 1.0 if is_uuid(one.seen) else 0.3


def _user(one: _Candidate) -> float | None:
    if not one.is_word or len(one.seen.distinct) < _MIN_USERS:
        return None
    return 1.0 if len(one.seen.distinct) < _REPEATED * len(one.seen.values) else 0.0


def _merchant(one: _Candidate) -> float | None:
    return 0.0 if one.is_word else None


def _card(one: _Candidate) -> float | None:
    is_kind = all(map(str.isalpha, one.seen.distinct))  # visa, debit
    return 0.0 if one.is_word and not (is_kind or is_card_number(one.seen)) else None


def _country(one: _Candidate) -> float | None:
    return 0.0 if all(map(_LAND.fullmatch, one.seen.distinct)) else None


def _few_words(one: _Candidate, most: int) -> bool:
    return one.is_word and one.marks is None and len(one.seen.distinct) <= most


def _channel(one: _Candidate) -> float | None:
    return 0.0 if _few_words(one, _MOST_CHANNELS) else None


def _status(one: _Candidate) -> float | None:
    is_state = all(map(_LAND.fullmatch, one.seen.distinct))  # of a country
    return 0.0 if _few_words(one, _MOST_STATUSES) and not is_state else None


_BONUS: Mapping[str, Callable[[_Candidate], float | None]] = {
    "txn_date": _date,
    "currency": _currency,
    "amount": _amount,
    "id": _id,
    "user_id": _user,
    "merchant_id": _merchant,
    "country": _country,
    "card_id": _card,
    "status": _status,
    "channel": _channel,
}
"""For each field, in the order in which they are chosen, what the values add to the name; None where they
cannot be the field's."""
