"""Conditions on a record."""

from collections.abc import Callable

from schemas.mapping.paths import Record, getter
from schemas.mapping.spec import Condition
from schemas.mapping.values import text_of


def holds(condition: Condition) -> Callable[[Record], bool]:
    """What tells whether a condition holds of a record; it raises ValueError where the value is no text."""
    get, test = getter(condition.source), _test(condition)
    return lambda record: test(text_of(get(record)))


def _test(condition: Condition) -> Callable[[str], bool]:
    if condition.starts is not None:
        start = condition.starts
        return lambda text: text.startswith(start)
    if condition.present is not None:
        present = condition.present
        return lambda text: bool(text) is present
    wanted = condition.equals is not None or condition.one_of is not None
    values = [condition.equals, condition.differs, *(condition.one_of or ()), *(condition.none_of or ())]
    texts = frozenset(text_of(value) for value in values if value is not None)
    return lambda text: (text in texts) is wanted
