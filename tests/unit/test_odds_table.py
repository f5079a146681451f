"""The shipped table: of the model that is written beside it, and refused where it is damaged."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from math import exp, log

import pytest

from stream_app.detectors.odds import densities as model
from stream_app.detectors.odds import table


@pytest.fixture
def another_hash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(table, "_HASH", "0" * 64)
    table.densities.cache_clear()
    yield
    table.densities.cache_clear()


@pytest.mark.usefixtures("another_hash")
def test_another_table_is_refused() -> None:
    with pytest.raises(table.Damaged, match="is damaged: install txnwatch again"):
        table.densities()


@pytest.mark.parametrize("taught", [0, 1, 20, 64])
def test_the_table_is_the_models(taught: int) -> None:
    rows = table.densities()

    assert len(rows) == model.ROWS + model.OWN
    assert_near(rows[taught], model.row(model.shrunk(taught)))
    own = min(taught, model.OWN)
    if own:
        assert_near(rows[model.ROWS + own - 1], model.row(model.own(own)))


def assert_near(shipped: table.Row, made: list[int]) -> None:
    """Another machine's exp and log may round the last unit otherwise."""
    assert max(abs(one - other) for one, other in zip(shipped, made, strict=True)) <= 1


def test_a_density_is_one() -> None:
    for taught in (1, 5, 64):
        whole = sum(exp(cell / model.NAT) for cell in table.densities()[taught]) / model.STEPS
        assert whole == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("factor", [Fraction(2), Fraction(5, 2), Fraction(4), Fraction(37, 3), Fraction(20)])
def test_odds_rise_with_the_amount(factor: Fraction) -> None:
    odds = table.odds(factor)

    for row in (*odds.shrunk, *odds.own):
        assert len(row) == model.CELLS
        assert all(one <= other for one, other in pairwise(row))
    assert set(odds.own[0]) == {0}  # of a first amount nothing is known
    assert odds.shrunk[20][model.STEPS] < 0 < odds.shrunk[20][int(factor * model.STEPS)]


def test_priors_and_logarithms_are_those_of_floats() -> None:
    share = Fraction(1, 3)
    for at in (0, 1, 100, 9000, 16_383):
        fraud = (at + 0.5) / (table.RISK >> table.PRIOR_SHIFT) / 3
        assert table.priors(share)[at] == pytest.approx(model.NAT * log(fraud / (1 - fraud)), abs=2)
    assert table.logarithm(Fraction(1, 19)) == round(-model.NAT * log(19))
    assert table.decays(240)[240] == pytest.approx(65_536 * exp(-1), abs=1)
    assert len(table.decays(240)) == 12 * 240 + 1


def test_updates_are_likelihood_ratios() -> None:
    updates = table.updates(Fraction(1, 3))

    for nat in (-3, 0, 5):
        at = nat * model.NAT >> table.UPDATE_SHIFT
        assert updates[at] / 65_536 == pytest.approx((exp(nat) + 2) / 3, rel=0.02)
