"""Texts: as they are, exchanged for others, or one for all."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from schemas.mapping.columns import Column, column_of, texts_of
from schemas.mapping.conditions import holds
from schemas.mapping.paths import Getter, Record, getter, values_of
from schemas.mapping.spec import TextSpec
from schemas.mapping.values import text_of
from schemas.refusal import excerpt

TextReader: TypeAlias = Callable[[Record], str]
Change: TypeAlias = Callable[[str], str]

_CAPITALS = frozenset(["currency", "country"])


def change_of(field: str) -> Change | None:
    """What is done to all texts of a field, if anything."""
    return str.upper if field in _CAPITALS else None


def first_of(getters: Sequence[Getter]) -> Getter:
    """The first value that is not empty."""

    def value(record: Record) -> Any:
        return next((found for get in getters if (found := get(record)) is not None and text_of(found)), None)

    return value


def text_getter(source: str | Sequence[str], remove: str = "") -> TextReader:
    """What reads a text, of several the first that is not empty; "" where there is none.

    It raises ValueError where it is no text.
    """
    getters = [getter(source)] if isinstance(source, str) else [getter(one) for one in source]
    value = getters[0] if len(getters) == 1 else first_of(getters)
    if not remove:
        return lambda record: text_of(value(record))
    removed = str.maketrans("", "", remove)
    return lambda record: text_of(text_of(value(record)).translate(removed))


def text_reader(spec: TextSpec, most: int, change: Change | None = None) -> TextReader:
    """What reads the text of a record, of `most` characters; "" where it has none.

    It raises ValueError where it has one that cannot be used.
    """
    finish = _finisher(spec, most, change)
    if spec.source is None:
        constant = finish(spec.value or "")
        return _where(spec, lambda _: constant)
    read = text_getter(spec.source, spec.remove)
    return _where(spec, (lambda record: finish(read(record))) if finish is not _same else read)


def text_column(spec: TextSpec, most: int, change: Change | None = None) -> Column:
    """What reads the text of many records, as `text_reader` does of each."""
    read, finish = text_reader(spec, most, change), _finisher(spec, most, change)
    if not isinstance(spec.source, str) or spec.remove or spec.when is not None:
        return column_of(read)
    values = values_of(spec.source)

    def quick(records: Sequence[Record]) -> list[str]:
        texts = texts_of(values(records))
        if finish is _same:
            return texts
        finished = {text: finish(text) for text in {*texts}}
        return [finished[text] for text in texts]

    return column_of(read, quick)


def _where(spec: TextSpec, read: TextReader) -> TextReader:
    if spec.when is None:
        return read
    is_there = holds(spec.when)
    return lambda record: read(record) if is_there(record) else ""


def _same(text: str) -> str:
    return text


def _finisher(spec: TextSpec, most: int, change: Change | None) -> Change:
    """What makes the text of a field of that of a value."""
    steps = [_exchanged(spec), change, (lambda text: text[:most]) if spec.cut else None]
    taken = [step for step in steps if step is not None]
    if len(taken) < 2:  # noqa: PLR2004 - no loop for one
        return taken[0] if taken else _same

    def finish(text: str) -> str:
        for step in taken:
            text = step(text)
        return text

    return finish


def _exchanged(spec: TextSpec) -> Change | None:
    words, otherwise, default = dict(spec.values), spec.otherwise, spec.default or ""
    if not words and otherwise is None:
        return (lambda text: text or default) if default else None

    def exchanged(text: str) -> str:
        if (word := words.get(text)) is not None:
            return word
        if not text or otherwise is not None:
            return (text if otherwise == "*" else text and otherwise) or default
        raise ValueError(f"{excerpt(text)} is none of values: add it there, or say otherwise = …")

    return exchanged
