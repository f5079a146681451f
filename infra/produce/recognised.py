"""Layouts for which there is a mapping, by the names of their columns."""

from collections.abc import Collection

from schemas.mapping.ready import READY, ready_mapping


def mapping_for(columns: Collection[str]) -> str | None:
    """The name of the ready-made mapping of a table with these columns, if there is one.

    >>> mapping_for(["id", "user_id", "amount"])
    >>> mapping_for(["Time", *(f"V{number}" for number in range(1, 29)), "Amount", "Class"])
    'ulb-creditcard'
    """
    return next((name for name in READY if {*ready_mapping(name).source.columns} <= {*columns}), None)
