"""Texts for logs, without what may be of a message or a row: more people read logs than transactions."""

import re

_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_DATA = re.compile(r"""'[^']*'|"[^"]*"|\b\d+([.,:-]?\w+)*""")


def without_ids(text: str) -> str:
    """The text with each id of a user or transaction left out.

    >>> without_ids("/users/1e145f1e-f2e1-512a-aebb-35bb6597e178/stats")
    '/users/…/stats'
    """
    return _ID.sub("…", text)


def without_data(text: str) -> str:
    """The first line of what an error says, without what it quotes and counts.

    >>> without_data("no amount '12.30' in row 7")
    'no amount … in row …'
    """
    return _DATA.sub("…", without_ids(text.strip().partition("\n")[0]))
