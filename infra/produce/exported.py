"""The API's own exports as input: newest first, and each row with the verdict that it got.

Of CSV only the escaped form, which is the default, is read back exactly: a file does not say whether it is
escaped, so that with `escape=false` a text that has an apostrophe before `=` of its own loses it.
"""

import csv
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import schemas
from schemas.checks import OPTIONAL
from schemas.scored import VERDICT_NAMES
from schemas.strict_json import exact_number

_DECODE = msgspec.json.Decoder(dict[str, Any] | None, float_hook=exact_number).decode
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
_COLUMNS = ["id", "user_id", "amount", "currency", "txn_date", "status", "meta_data"]
ESCAPED = ("status", "merchant_id", "card_id", "channel")
"""The fields that an export puts an apostrophe into."""
_BOM = b"\xef\xbb\xbf"
# An export puts an apostrophe before a text that a spreadsheet would run.
_ESCAPED = re.compile(r"'+[-=+@\t\r\n]")


def is_export(head: Sequence[bytes]) -> bool:
    """Whether a file that begins with these lines is one: the fields, and a verdict in the first row."""
    try:
        if head[0].removeprefix(_BOM).startswith(b"{"):
            row = msgspec.json.decode(head[0].removeprefix(_BOM))
        else:
            names, cells = csv.reader(line.decode("utf-8-sig") for line in head)
            row = dict(zip(names, cells, strict=True))
            row["meta_data"] = msgspec.json.decode(row["meta_data"])
        columns, more = list(row)[: len(_COLUMNS)], list(row)[len(_COLUMNS) :]
        known = columns == _COLUMNS and more == [name for name in OPTIONAL if name in more]
        return known and isinstance(row["meta_data"].get("is_anomaly"), bool)
    except (msgspec.DecodeError, UnicodeError, ValueError, csv.Error, LookupError, AttributeError):
        return False


def own_text(text: str) -> str:
    """A text of an exported CSV as it was."""
    return text[1:] if _ESCAPED.match(text) else text


def own_meta_data(text: str | msgspec.Raw) -> bytes:
    """What the producer had put there, as JSON: the rest is of the verdict, which it gets again.

    Raises:
        msgspec.DecodeError: It is neither an object nor null.
    """
    own = {name: value for name, value in (_DECODE(text) or {}).items() if name not in _verdict()}
    return _ENCODE(own or None)


@cache
def _verdict() -> frozenset[str]:
    """The names under which verdicts of any detector stand in `meta_data`."""
    schema = json.loads((Path(schemas.__file__).parent / "scored.schema.json").read_text())
    flags = [flag["properties"] for flag in schema["$defs"]["flag"]["oneOf"]]
    return VERDICT_NAMES.union(*flags)
