"""How many may go now."""

from infra.produce.pace import UNLIMITED, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def sent_over(seconds: float, rate: float, step: float) -> int:
    """How many go in that time when somebody looks every step and sends all that may go."""
    clock = Clock()
    pace, sent = Pace(rate, clock), 0
    for _ in range(round(seconds / step)):
        sent += pace.room()
        pace.spend(pace.room())
        clock.now += step
    return sent


def test_the_first_goes_at_once() -> None:
    assert Pace(0.001, Clock()).room() == 1


def test_over_time_the_rate_is_kept_however_often_somebody_looks() -> None:
    assert 990 <= sent_over(10, rate=100, step=0.001) <= 1001
    assert 990 <= sent_over(10, rate=100, step=0.1) <= 1001
    assert 19_800 <= sent_over(10, rate=2000, step=0.02) <= 20_001


def test_a_rate_below_one_a_second_is_kept() -> None:
    assert sent_over(100, rate=0.1, step=0.5) in {10, 11}


def test_after_a_stall_there_is_no_burst() -> None:
    clock = Clock()
    pace = Pace(100, clock)
    clock.now += 3600
    assert pace.room() == 100


def test_the_wait_is_until_the_next_may_go() -> None:
    clock = Clock()
    pace = Pace(2, clock)
    pace.spend(pace.room())
    assert pace.wait_seconds() == 0.5
    clock.now += pace.wait_seconds()
    assert pace.room() == 1


def test_without_a_rate_there_is_no_limit() -> None:
    pace = Pace(None, Clock())
    pace.spend(10**9)
    assert pace.room() == UNLIMITED
