"""The rule that a partition was scored with last, so that a change of it over live windows is said.

It is in the partition's changelog, under a key that is no user's, and so in the windows restored from that.
"""

from collections.abc import Mapping
from typing import Any, Self

import msgspec

from schemas.rule import Rule

RULE_KEY = b"\0rule"
_FORMAT = 1


class KnownRule(msgspec.Struct, frozen=True):
    """What tells a rule from another."""

    rule: str
    detector: str
    version: int
    settings: Mapping[str, Any]
    format: int = _FORMAT

    @classmethod
    def of(cls, rule: Rule) -> Self:
        """A rule as a worker runs it."""
        profiles = {f"profile of {one.detector}": one.rule for one in rule.deciding if one.has_profile}
        return cls(rule.rule, rule.detector, rule.version, rule.settings | profiles)

    @classmethod
    def decode(cls, data: bytes | None) -> Self | None:
        """What `encode` made; None of nothing, and of what another version of this program made otherwise."""
        try:
            known = msgspec.json.decode(data or b"null", type=cls | None)
        except msgspec.DecodeError:
            return None
        return known if known is not None and known.format == _FORMAT else None

    def encode(self) -> bytes:
        """As JSON."""
        return msgspec.json.encode(self, order="deterministic")

    def changes(self, since: Self) -> str:
        """How it differs from a former one, in words; empty where nothing does.

        >>> KnownRule("2b", "mean", 1, {"size": 5}).changes(KnownRule("1a", "mean", 1, {"size": 20}))
        'size 20 -> 5'
        """
        named = {"detector": (since.detector, self.detector), "version": (since.version, self.version)}
        for name in {**since.settings, **self.settings}:
            named[name] = (since.settings.get(name, "none"), self.settings.get(name, "none"))
        return ", ".join(
            f"{name} {before} -> {now}" for name, (before, now) in named.items() if before != now
        )
