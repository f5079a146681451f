"""A second opinion: what River, the library for learning from streams, says of the same transactions."""

import json
import subprocess
import venv
from pathlib import Path

import pytest

from stream_app.detectors.odds import Odds
from stream_app.detectors.odds.settings import Settings
from stream_app.window import Window
from tests.support.detectors import rolling_mean
from tests.support.ranking import figures, fitted, ranked
from tests.support.spending import Labelled, Spending

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPENDING = Spending(seed=21, users=300, days=40)
# For each line [user, amount]: the mean of the user's last 20 before it, and how unusual a Gaussian finds it.
RIVER = """
import json, sys
from river import anomaly, stats, utils
means, scorers = {}, {}
for user, amount in map(json.loads, sys.stdin):
    mean = means.setdefault(user, utils.Rolling(stats.Mean, window_size=20))
    scorer = scorers.setdefault(user, anomaly.GaussianScorer(window_size=None, grace_period=10))
    print(json.dumps([mean.get(), abs(scorer.score_one(None, amount) - 0.5)]))
    mean.update(amount)
    scorer.learn_one(None, amount)
"""


@pytest.fixture(scope="module")
def river(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has River, which the project itself does without."""
    folder = tmp_path_factory.mktemp("river")
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    install = [str(python), "-m", "pip", "install", "--quiet", "river==0.26.1"]
    if subprocess.run(install, check=False, timeout=600).returncode:
        pytest.skip("no package index to install river from")
    return python


def answers(river: Path, history: list[Labelled]) -> list[tuple[float, float]]:
    lines = [json.dumps([paid.user_id, paid.amount]) for paid, *_ in history]
    said = subprocess.run(
        [river, "-c", RIVER], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=600
    )
    return [tuple(json.loads(line)) for line in said.stdout.splitlines()]


def test_river_agrees_on_the_mean_and_ranks_worse(river: Path) -> None:
    history = list(SPENDING.history())
    says = answers(river, history)

    detector, windows, scored = rolling_mean(), dict[str, Window](), []
    for (paid, fraud, _), (mean, unusual) in zip(history, says, strict=True):
        window = windows.setdefault(paid.user_id, Window())
        score, evidence = detector.score_one(window, None, paid)
        if score:
            assert score == pytest.approx(paid.amount / mean, rel=1e-9)
            scored.append((unusual, fraud))
        assert (evidence is not None) == (window.count >= 10 and score > 5)
        window.push(paid.amount, bytes(20), 20)

    odds = Odds(Settings(), fitted(history, lambda _: None))
    assert figures(sorted(scored, reverse=True))[0] < 0.7 * figures(ranked(odds, history))[0]
