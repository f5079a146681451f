"""Texts of a known form in answers, as JSON Schema describes them; what is decoded is not held to it."""

from typing import Annotated

import msgspec

Uuid = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
Money = Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"^(0|[1-9][0-9]*)\.[0-9]{2}$"})]
"""Decimal text with two decimals."""
Moment = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC."""
