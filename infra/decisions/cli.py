"""`txnwatch rules`: rule sets as files."""

from collections import Counter
from pathlib import Path

import click

from infra.decisions.commands import apply_command, history_command, show_command
from infra.decisions.files import read_checked
from infra.decisions.suppression_cli import suppress_command, suppressions_command
from schemas.rules.differences import differences
from schemas.rules.rule_set import CheckedRule, RuleSet

_FILE = click.Path(path_type=Path)


@click.group()
def rules() -> None:
    """Rules by which transactions are flagged, watched or allowed: docs/rules.md has their language."""


for _command in (apply_command, history_command, show_command, suppress_command, suppressions_command):
    rules.add_command(_command)


@rules.command("check")
@click.argument("file", type=_FILE)
def check_command(file: Path) -> None:
    """See whether a decisions file can be used, and say what is in it.

    Each fault is named with its line and column.
    """
    click.echo(summary(read_checked(file)))


@rules.command("diff")
@click.argument("file", type=_FILE)
@click.argument("other", type=_FILE)
def diff_command(file: Path, other: Path) -> None:
    """Say what OTHER has that FILE has not (+), what it lacks (-), and what has changed (~)."""
    lines = differences(read_checked(file), read_checked(other))
    click.echo("\n".join(lines) or "they decide alike")


def summary(rule_set: RuleSet) -> str:
    """A rule set in a line: how many rules, what they ask for and cost, and what else decides."""
    checked = [CheckedRule(rule) for rule in rule_set.rules if rule.runs]
    features = {feature for rule in checked for feature in rule.features}
    lists = sorted({name for rule in checked for one in rule.expressions for name in one.lists})
    modes = Counter(rule.mode if not rule.mode.endswith("%") else "share" for rule in rule_set.rules)
    parts = [
        f"{len(rule_set.rules):,} rules"
        + "".join(f", {count:,} {mode}" for mode, count in sorted(modes.items())),
        f"{len(features)} features",
        f"cost {sum(rule.when.cost for rule in checked):,}",
        f"lists {', '.join(lists)}" if lists else "no lists",
        f"detector {rule_set.detector or 'of TXNWATCH_DETECTOR'}",
    ]
    return f"{rule_set.hash}: {'; '.join(parts)}"
