"""Figures over scores and labels, against definitions written out over all pairs and thresholds."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.commands.backtest.figures import Budget, CardPrecision
from stream_app.commands.backtest.ranks import Ranked, ranking

SCORES = st.lists(st.integers(-3, 6).map(float), max_size=30)
LABELLED = st.tuples(SCORES.filter(bool), SCORES)


def ranked(scores: list[float]) -> Ranked:
    """In runs of four, so that several runs are asked."""
    one = Ranked(run=4)
    for score in scores:
        one.extend([score])
    return one


def thresholds(frauds: list[float], others: list[float]) -> list[tuple[Fraction, Fraction]]:
    """Recall and precision at every score there is, from the highest on."""
    return [
        (
            Fraction(sum(score >= least for score in frauds), len(frauds)),
            Fraction(
                sum(score >= least for score in frauds), sum(score >= least for score in [*frauds, *others])
            ),
        )
        for least in sorted({*frauds, *others}, reverse=True)
    ]


@given(LABELLED)
def test_average_precision_sums_precision_over_each_rise_of_recall(
    scores: tuple[list[float], list[float]],
) -> None:
    frauds, others = scores
    expected, before = Fraction(0), Fraction(0)
    for recall, precision in thresholds(frauds, others):
        expected += (recall - before) * precision
        before = recall

    assert ranking(ranked(frauds), ranked(others)).average_precision == pytest.approx(float(expected))


@given(LABELLED.filter(lambda scores: bool(scores[1])))
def test_auc_is_the_share_of_pairs_that_stand_rightly_and_half_of_the_equal_ones(
    scores: tuple[list[float], list[float]],
) -> None:
    frauds, others = scores
    pairs = [(fraud > other) + Fraction(fraud == other, 2) for fraud in frauds for other in others]

    found = ranking(ranked(frauds), ranked(others)).auc

    assert found == pytest.approx(float(sum(pairs) / len(pairs)))


@given(LABELLED, st.sampled_from([0.5, 0.75, 0.9, 1.0]))
def test_recall_at_a_precision_is_the_largest_of_any_threshold(
    scores: tuple[list[float], list[float]], least: float
) -> None:
    frauds, others = scores
    reached = [recall for recall, precision in thresholds(frauds, others) if precision >= Fraction(least)]

    found = ranking(ranked(frauds), ranked(others), at=least).recall_at_precision

    assert found == pytest.approx(float(max(reached, default=Fraction(0))))


@given(SCORES.filter(bool), st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_the_smallest_score_that_its_share_does_not_exceed(
    scores: list[float], share: float
) -> None:
    enough = [score for score in scores if sum(one > score for one in scores) <= (1 - share) * len(scores)]

    assert ranked(scores).quantile(share) == min(enough)


def test_figures_of_a_case_computed_by_hand() -> None:
    """Frauds at 9, 7, 7 and 2; others at 8, 7 and 1: precision 1, 3/5 (the three of 7 together), 4/6."""
    figures = ranking(Ranked([9, 7, 7, 2]), Ranked([8, 7, 1]), at=0.6)

    assert figures.average_precision == pytest.approx(1 / 4 * 1 + 2 / 4 * 3 / 5 + 1 / 4 * 4 / 6)
    assert figures.auc == pytest.approx((3 + 2 * 1.5 + 1) / 12)
    assert figures.recall_at_precision == 1.0
    assert figures.curve == [(0.25, 1.0), (0.75, 0.6), (1.0, pytest.approx(2 / 3))]


@pytest.mark.parametrize("scores", [([], [1.0]), ([], [])])
def test_without_a_fraud_there_are_no_figures(scores: tuple[list[float], list[float]]) -> None:
    figures = ranking(Ranked(scores[0]), Ranked(scores[1]))

    assert (figures.average_precision, figures.auc, figures.recall_at_precision) == (None, None, None)


def test_a_curve_of_many_points_keeps_its_ends() -> None:
    curve = ranking(Ranked(map(float, range(5000))), Ranked([0.5]), most=50).curve

    assert len(curve) == 50
    assert (curve[0], curve[-1][0]) == ((1 / 5000, 1.0), 1.0)


DAYS = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("abcdef"), st.integers(0, 4).map(float), st.booleans()),
    min_size=1,
    max_size=40,
)


@given(DAYS, st.integers(1, 4))
def test_card_precision_is_that_of_the_handbook(rows: list[tuple[int, str, float, bool]], cards: int) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    found, shares = set[str](), list[float]()
    for day in sorted({row[0] for row in rows}):
        its = [row for row in rows if row[0] == day and row[1] not in found]
        users = list(dict.fromkeys(row[1] for row in its))
        best = sorted(users, key=lambda user: -max(row[2] for row in its if row[1] == user))[:cards]
        caught = {user for user in best if any(row[3] for row in its if row[1] == user)}
        shares.append(len(caught) / cards)
        found |= caught

    precision = CardPrecision(cards)
    for day, user, score, fraud in rows:
        precision.add(day, [user], [score], [fraud])

    assert precision.mean() == pytest.approx(sum(shares) / len(shares))


@given(DAYS, st.integers(1, 5))
def test_a_budget_is_never_exceeded_on_any_day_and_no_lower_threshold_would_do(
    rows: list[tuple[int, str, float, bool]], most: int
) -> None:
    budget = Budget(most)
    for day, _, score, _ in rows:
        budget.add(day, [score])

    def alerts(threshold: float) -> int:
        days = {row[0] for row in rows}
        return max(sum(row[0] == day and row[2] >= threshold for row in rows) for day in days)

    fitting = [row[2] for row in rows if alerts(row[2]) <= most]
    assert budget.threshold() == (min(fitting) if fitting else None)
