"""Texts: as they are, exchanged for others, or one for all."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from schemas.mapping.conditions import holds
from schemas.mapping.paths import Getter, Record, getter
from schemas.mapping.spec import TextSpec
from schemas.mapping.values import text_of
from schemas.refusal import excerpt

TextReader: TypeAlias = Callable[[Record], str]


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


def text_reader(spec: TextSpec, most: int, change: Callable[[str], str] | None = None) -> TextReader:
    """What reads the text of a record, of `most` characters; "" where it has none.

    It raises ValueError where it has one that cannot be used.
    """
    read = _exchanged(spec)
    if change is not None:
        plain, changed = read, change
        read = lambda record: changed(plain(record))  # noqa: E731 - as below
    if spec.cut:
        whole = read
        read = lambda record: whole(record)[:most]  # noqa: E731 - each step around the one before
    return _where(spec, read) if spec.when is not None else read


def _where(spec: TextSpec, read: TextReader) -> TextReader:
    assert spec.when is not None  # noqa: S101 - of the caller
    is_there = holds(spec.when)
    return lambda record: read(record) if is_there(record) else ""


def _exchanged(spec: TextSpec) -> TextReader:
    if spec.source is None:
        constant = spec.value or ""
        return lambda _: constant
    read, default = text_getter(spec.source, spec.remove), spec.default or ""
    if not spec.values and spec.otherwise is None:
        return (lambda record: read(record) or default) if default else read
    return _of_words(spec, read)


def _of_words(spec: TextSpec, read: TextReader) -> TextReader:
    words, otherwise, default = dict(spec.values), spec.otherwise, spec.default or ""

    def exchanged(record: Record) -> str:
        text = read(record)
        if (word := words.get(text)) is not None:
            return word
        if not text or otherwise is not None:
            return (text if otherwise == "*" else text and otherwise) or default
        raise ValueError(f"{excerpt(text)} is none of values: add it there, or say otherwise = …")

    return exchanged
