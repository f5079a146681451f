"""`decide`: everything on, with labels and with rules over features, in turn with the default."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from benchmarks.bed import Bed
from benchmarks.contenders import Txnwatch, prepare, worker
from benchmarks.load import MERCHANTS, Load, Loads, merchant
from benchmarks.options import Options
from benchmarks.process import running
from benchmarks.race import Contender, Lap, race, timed
from benchmarks.result import Figure, Result
from benchmarks.standings import COLUMNS, failures, share, short, table
from infra.database import session
from infra.decisions.deciding import unpublished
from infra.decisions.history import NEEDED, Proposal, append
from infra.runtime.settings import Settings
from schemas.decision import LABEL

# None is ever true of these transactions, so that all flag the same; a feature is its rule's first condition,
# so that it is read for every transaction.
CONDITIONS = [
    'count("1h") >= 100',
    'sum("24h") > 1000000000',
    'max("7d") > 1000000000',
    'mean("30d") > 1000000000',
    'count("24h") >= 1000',
    'sum("7d") > 1000000000',
    'distinct("merchant_id", "24h") >= 50',
    'first_seen("country") && amount > 1000000000',
]
LABELS_A_MERCHANT, ONE_IN = 3, 50
METHOD = (
    "Transactions have one of 500 merchants and of three countries. `no feature`: one rule over the amount. "
    "1, 4 and 8 features: a rule each, of an hour, a day, 7 and 30 days, beside the default rule. `odds and "
    "labels`: the detector `merchant_labels`; three labels of each merchant were decided beforehand, and are "
    "frauds at one in fifty."
)


@dataclass(frozen=True, slots=True)
class WithRules:
    """A worker with a decisions file of so many rules over features; with 0 one over the amount."""

    features: int
    at_most: int | None = None

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.features or 'no'} feature{'s' * (self.features > 1)}"

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """As the default, with the file."""
        file = bed.scratch(run) / "rules.toml"
        file.write_text(_rules(CONDITIONS[: self.features] or ["amount > 1000000000"]))
        return await Txnwatch(self.name, {"TXNWATCH_DECISIONS": str(file)}).lap(bed, load, run)


@dataclass(frozen=True, slots=True)
class WithLabels:
    """A worker with `merchant_labels`, and merchants that labels are known of."""

    name: str = "odds and labels"
    at_most: int | None = None

    async def lap(self, bed: Bed, load: Load, run: str) -> Lap:
        """The labels are on the control topic before the worker starts."""
        environment = await prepare(bed, load.topic, run) | {"TXNWATCH_DETECTOR": "merchant_labels"}
        await _give_labels(environment)
        with running(worker(bed, run, environment)) as process:
            of_others = replace(load, flags=0)
            return await timed(bed, of_others, run, process, rows=environment["POSTGRES_URL"])


DEFAULT, LABELS, MOST = Txnwatch("txnwatch"), WithLabels(), WithRules(len(CONDITIONS))
CONTENDERS: list[Contender] = [DEFAULT, LABELS, *map(WithRules, (0, 1, 4)), MOST]


async def decide(loads: Loads, options: Options) -> Result:
    """All on the same topic, half as long as that of `state`."""
    half = replace(options, count=options.count // 2)
    standings = await race(
        loads, CONTENDERS, count=half.count, users=half.users, rounds=half.rounds, full=True
    )
    return Result(
        name="decide",
        title="everything on, with labels and with rules over features; one worker",
        setting=half.setting(),
        columns=COLUMNS,
        rows=table(standings),
        figures=[
            Figure("with odds and labels", share(standings, LABELS.name), 0.7, 0.85),
            Figure("with 8 features over 4 windows", share(standings, MOST.name), 0.5, 0.7),
        ],
        notes=[METHOD, *short(half.count), *failures(standings)],
    )


def _rules(conditions: Sequence[str]) -> str:
    rules = (
        f'[[rules]]\nname = "rule {number}"\nwhen = {json.dumps(when)}\naction = "flag"\n'
        for number, when in enumerate(conditions)
    )
    return "\n".join(rules)


async def _give_labels(environment: dict[str, str]) -> None:
    """Decide three of each merchant's transactions."""
    url = environment["POSTGRES_URL"]
    async with session(url, NEEDED) as connection, connection.transaction():
        for number in range(MERCHANTS * LABELS_A_MERCHANT):
            await append(connection, Proposal(LABEL, _label(number), "benchmarks", ""))
    fields = {field: environment[name] for field, name in Settings.variables().items() if name in environment}
    if reason := await unpublished(Settings.load(**fields), url, within=60):
        raise RuntimeError(reason)


def _label(number: int) -> dict[str, object]:
    return {
        "id": str(UUID(int=number)),
        "txn_date": datetime(2025, 1, 1, tzinfo=UTC).isoformat(),
        "user_id": str(UUID(int=number)),
        "merchant_id": merchant(number),
        "fraud": number % MERCHANTS % ONE_IN == 0,
        "explained": False,
    }
