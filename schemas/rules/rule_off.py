"""A rule that raised on a transaction and is off since: the body of a decision."""

import msgspec


class RuleOff(msgspec.Struct, frozen=True):
    """The rule, until another rule set is decided."""

    rule: str
    """Its name."""
    rule_set: int
    """The decision whose rule set has it; 0: that of the workers' settings."""
    error: str
