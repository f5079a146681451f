"""Rule sets as TOML, with faults at the line and column of the file."""

import re
import tomllib
from collections.abc import Iterator

from schemas.places import pointed
from schemas.rules.rule_set import Fault, RuleSet, RuleSetError, rule_set_of, said_plainly

_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*rules[ \t]*\]\]", re.MULTILINE)
_KEY = r"^[ \t]*(?:{key}|\"{key}\"|'{key}')[ \t]*=[ \t]*"
_QUOTES = re.compile(r"\"\"\"|'''|\"|'")
_ESCAPE = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|[ \t]*\r?\n\s*|.)|\r\n|.", re.DOTALL)
_ENDS_LINE = re.compile(r"\\[ \t]*\r?\n\s*")


def read_rule_set(text: str, named: str) -> RuleSet:
    """The rule set of a file's text; `named` is what messages call the file.

    Raises:
        RuleSetError: It cannot be used.
    """
    try:
        table = tomllib.loads(text)
    except ValueError as error:  # also of a number of more than 4,300 digits
        raise RuleSetError([Fault(str(error))], lambda fault: f"{named}: {fault.sentence}") from None
    except RecursionError:
        raise RuleSetError([Fault("nested too deep")], lambda fault: f"{named}: {fault.sentence}") from None
    return rule_set_of(table, lambda fault: _said(fault, text, table, named))


def _said(fault: Fault, text: str, table: dict[str, object], named: str) -> str:
    """The fault with its place in the file, and below it the line with a mark."""
    at = _place(fault, text, table)
    if at is None:
        return f"{named}: {said_plainly(fault)}"
    plain = said_plainly(Fault(fault.sentence, fault.rule, fault.name, fault.key))
    return pointed(text, at, named, plain)


def _place(fault: Fault, text: str, table: dict[str, object]) -> int | None:
    """At which character of the file the fault is; None where that cannot be told."""
    rules = table.get("rules")
    headers = [found.start() for found in _HEADER.finditer(text)]
    if fault.rule < 0 or not isinstance(rules, list) or len(headers) != len(rules):
        return None
    start, rule = headers[fault.rule], rules[fault.rule]
    end = headers[fault.rule + 1] if fault.rule + 1 < len(headers) else len(text)
    if not fault.key or not isinstance(rule, dict):
        return start
    key = re.compile(_KEY.format(key=re.escape(fault.key)), re.MULTILINE)
    for found in key.finditer(text, start, end):
        if fault.at < 0:
            return found.start() + len(found[0]) - len(found[0].lstrip())
        places = _places(text, found.end(), rule.get(fault.key))
        if places is not None:
            return places[fault.at]
    return start


def _places(text: str, at: int, value: object) -> list[int] | None:
    """Where in the file each character of a text, and its end, are; None where another stands there."""
    quotes = _QUOTES.match(text, at)
    if quotes is None or not isinstance(value, str):
        return None
    places: list[int] = []
    begin = quotes.end()
    if len(quotes[0]) > 1:  # a first newline is no part of it
        begin += 2 if text.startswith("\r\n", begin) else text.startswith("\n", begin)
    for place, part in _characters(text, begin, literal="'" in quotes[0]):
        if len(places) == len(value):
            return [*places, place] if text.startswith(quotes[0], place) else None
        if not part.startswith("\\") and part.replace("\r\n", "\n") != value[len(places)]:
            return None
        places.append(place)
    return None


def _characters(text: str, at: int, *, literal: bool) -> Iterator[tuple[int, str]]:
    """Each character's place and how it is written; what stands for none is left out."""
    one = re.compile(r"\r\n|.", re.DOTALL) if literal else _ESCAPE
    for found in one.finditer(text, at):
        if literal or not _ENDS_LINE.fullmatch(found[0]):
            yield found.start(), found[0]
