"""What a proposal leaves open, since the records do not tell it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

OPEN: Final = "?"
"""What stands in a proposal where a person has to decide: no mapping with it can be used."""


class _Question(NamedTuple):
    why: str
    stand_in: Mapping[str, Any]


class OpenQuestions(dict[tuple[str, str], _Question]):
    """What is open, by table and key."""

    def leave(self, table: str, key: str, why: str, stand_in: Mapping[str, Any]) -> str:
        """What to write for a key of a table; `stand_in` has keys by which the rest can be tried."""
        self[table, key] = _Question(why, stand_in)
        return OPEN

    def filled(self, tables: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """The tables with what stands in for what is open."""
        filled = {name: dict(table) for name, table in tables.items()}
        for (table, _), question in self.items():
            filled[table].update(question.stand_in)
        return filled
