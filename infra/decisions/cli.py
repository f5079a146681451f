"""`txnwatch rules`: rule sets as files."""

import asyncio
from collections import Counter
from pathlib import Path

import click

from infra.decisions.commands import apply_command, asked, history_command, show_command
from infra.decisions.files import read_checked
from infra.decisions.history import find
from infra.decisions.suppression_cli import suppress_command, suppressions_command
from infra.runtime.cli_errors import StopError, ending_in_one_line
from infra.runtime.services import POSTGRES
from infra.runtime.settings import Settings
from schemas.decision import RULES
from schemas.rules.differences import differences
from schemas.rules.rule_set import CheckedRule, RuleSet, rule_set_of

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
@click.argument("other", type=_FILE, required=False)
def diff_command(file: Path, other: Path | None) -> None:
    """Say what FILE adds to the rule set that holds (+), what it takes away (-), and what it changes (~).

    With OTHER, what OTHER adds to FILE, and so on; then no service is asked.
    """
    old, new = (read_checked(file), read_checked(other)) if other else (_holding(), read_checked(file))
    click.echo("\n".join(differences(old, new)) or "they decide alike")


def _holding() -> RuleSet:
    """What was decided last; empty where nothing was."""
    settings = Settings.load()
    with ending_in_one_line(StopError, POSTGRES):
        decision = asyncio.run(asked(settings, lambda one: find(one, RULES)))
    return rule_set_of(decision.body) if decision else RuleSet()


def summary(rule_set: RuleSet) -> str:
    """A rule set in a line: how many rules, what they ask for and cost, and what else decides."""
    checked = [CheckedRule(rule) for rule in rule_set.rules if rule.runs]
    features = {feature for rule in checked for feature in rule.features}
    lists = sorted({name for rule in checked for one in rule.expressions for name in one.lists})
    modes = Counter(rule.mode if not rule.mode.endswith("%") else "share" for rule in rule_set.rules)
    parts = [
        f"{len(rule_set.rules):,} rule{'' if len(rule_set.rules) == 1 else 's'}"
        + "".join(f", {count:,} {mode}" for mode, count in sorted(modes.items())),
        f"{len(features)} feature{'' if len(features) == 1 else 's'}",
        f"cost {sum(rule.when.cost for rule in checked):,}",
        f"lists {', '.join(lists)}" if lists else "no lists",
        f"detector {rule_set.detector or 'of TXNWATCH_DETECTOR'}",
    ]
    return f"{rule_set.hash}: {'; '.join(parts)}"
