"""The arithmetic of the dashboard's rates and lag."""

from api.dashboard.rates import Held, Lag, OpenTransactions, Produced, Rates, lags

PRODUCED = Produced("a", "2018-04-01T00:00:00Z", "u", 900)


def test_a_rate_is_what_came_divided_by_the_time_that_it_took() -> None:
    rates = Rates(samples=10)
    rates.note(1000, 100, 90, flagged=0)
    rates.note(3000, 120, 95, flagged=3, refused=4, produced=PRODUCED)

    [sample] = rates.after(0)

    assert (sample.at, sample.arrived, sample.scored) == (3000, 10.0, 2.5)
    assert (sample.flagged, sample.refused) == (1.5, 2.0)
    assert sample.produced == PRODUCED


def test_what_was_scored_is_not_made_up_for_the_time_before_anybody_looked() -> None:
    rates = Rates(samples=10)
    for at, scored in ((1000, None), (2000, None), (3000, 50), (4000, 60)):
        rates.note(at, at, scored, flagged=0)

    assert [sample.scored for sample in rates.after(0)] == [None, None, 10.0]


def test_the_oldest_samples_fall_out_and_only_later_ones_are_told() -> None:
    rates = Rates(samples=3)
    for at in range(1000, 8000, 1000):
        rates.note(at, at, at, flagged=0)

    assert [sample.at for sample in rates.after(0)] == [5000, 6000, 7000]
    assert [sample.at for sample in rates.after(6000)] == [7000]


def test_a_clock_set_back_and_a_topic_made_anew_give_no_negative_rates() -> None:
    rates = Rates(samples=10)
    rates.note(2000, 100, 100, flagged=0)
    rates.note(1000, 110, 110, flagged=0)
    rates.note(2000, 5, 5, flagged=0)

    assert [(sample.at, sample.arrived, sample.scored) for sample in rates.after(0)] == [(2000, 0.0, 0.0)]


def test_a_partition_lags_by_what_it_still_holds_and_nobody_has_finished() -> None:
    ends, committed, beginnings = {0: 10, 1: 10, 2: 10, 3: 10}, {0: 10, 1: 7, 3: 12}, {0: 0, 1: 0, 2: 4, 3: 0}

    assert lags(ends, committed, beginnings) == [
        Lag(0, 10, 10, 0),
        Lag(1, 10, 7, 3),
        Lag(2, 10, 4, 6),
        Lag(3, 10, 12, 0),
    ]


def test_a_transaction_that_stays_open_holds_back_what_follows_its_beginning() -> None:
    transactions, ends = OpenTransactions(usual_ms=5000), {0: 10, 1: 1160}
    readable = {0: 10, 1: 100}

    assert transactions.held(1000, {0: 9, 1: 90}, ends) == {}
    assert transactions.held(2000, readable, ends) == {}
    assert transactions.held(6000, readable, ends) == {}
    held = transactions.held(7000, readable, ends)

    assert held == {1: Held(1060, 2000)}
    assert lags(readable, {0: 10, 1: 100}, {0: 0, 1: 0}, held) == [
        Lag(0, 10, 10, 0),
        Lag(1, 100, 100, 0, held_back=1060, held_since=2000),
    ]
    assert transactions.held(8000, {0: 10, 1: 1160}, ends) == {}
