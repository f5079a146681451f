"""The rule against a batch oracle, and the window that it stands on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import asdict

from schemas.transaction import Transaction
from stream_app.scoring import Arrival, Scorer, Scores
from stream_app.state.store import describe
from stream_app.window import Window, decode_window, encode_window
from tests.support.detectors import rolling_mean, rolling_scorer

USER = str(UUID(int=1))
AMOUNTS = st.integers(0, 10**20 - 1)
# Small amounts meet the threshold exactly now and then; large ones leave 64 bits.
HISTORIES = st.lists(st.one_of(st.integers(0, 30), AMOUNTS), max_size=70)


def transaction(amount: int, *, identity: str | None = None, user: str = USER) -> Transaction:
    return Transaction(
        id=identity or str(uuid4()),
        user_id=user,
        amount=amount,
        currency="INR",
        txn_date=datetime(2024, 1, 1, tzinfo=UTC),
        status="paid",
        meta_data=None,
    )


def arrival(offset: int, amount: int, *, identity: str | None = None, user: str = USER) -> Arrival:
    return Arrival(offset, 1_700_000_000_000 + offset, transaction(amount, identity=identity, user=user))


def scored(amounts: Sequence[int], scorer: Scorer, window: Window) -> list[bool]:
    arrivals = [arrival(offset, amount) for offset, amount in enumerate(amounts)]
    return [verdict.flag is not None for verdict in scorer.score(arrivals, {USER: window}).verdicts]


@given(HISTORIES, st.integers(1, 25), st.integers(1, 12), st.fractions("1/10", 20, max_denominator=100))
def test_verdicts_are_those_of_the_rule_computed_anew_over_each_prefix(
    amounts: list[int], size: int, minimum: int, factor: Fraction
) -> None:
    size = max(size, minimum)

    verdicts = scored(amounts, rolling_scorer(size, minimum, factor), window := Window())

    for at, amount in enumerate(amounts):
        before = amounts[max(0, at - size) : at]
        mean = Fraction(sum(before), len(before)) if before else Fraction(0)
        assert verdicts[at] == (len(before) >= minimum and mean > 0 and amount > factor * mean)
    assert window.amounts == amounts[-size:]
    assert window.total == sum(window.amounts)
    assert window.mean == (round(Fraction(window.total, len(window.amounts))) if window.amounts else 0)


@given(HISTORIES)
@example([0, 2, 30, 171])
def test_a_flag_says_what_it_was_measured_against(amounts: list[int]) -> None:
    rule, window = rolling_mean(minimum=1), Window()
    for amount in amounts:
        flag = rule.score_one(window, None, transaction(amount))
        if flag is not None:
            mean = Fraction(sum(window.amounts), len(window.amounts))
            assert flag.window == len(window.amounts)
            assert abs(Fraction(flag.mean) * 100 - mean) <= Fraction(1, 2)
            assert abs(Fraction(flag.threshold) * 100 - mean * 5) <= Fraction(1, 2)
            # Half a unit of the fourth decimal, and what a float of that size cannot say.
            assert abs(flag.ratio - amount / mean) <= 0.00005 + float(amount / mean) * 1e-9
        window.push(amount, bytes(16), size=20)


def test_five_times_the_mean_is_no_anomaly_and_a_hundredth_more_is() -> None:
    rule = rolling_scorer()
    history = [100, 300] * 5

    assert scored([*history, 1000], rule, Window())[-1] is False
    assert scored([*history, 1001], rule, Window())[-1] is True


def test_nine_amounts_are_too_few_for_a_verdict() -> None:
    assert scored([100] * 9 + [10**9], rolling_scorer(), Window())[-1] is False


def test_a_window_of_zeros_flags_nothing() -> None:
    assert scored([0] * 20 + [1], rolling_scorer(), Window())[-1] is False


def test_a_flagged_amount_joins_the_window() -> None:
    verdicts = scored([100] * 10 + [1000, 1000], rolling_scorer(), window := Window())

    assert verdicts[-2:] == [True, True]
    assert window.amounts[-2:] == [1000, 1000]


def test_the_same_id_while_still_in_the_window_is_scored_once() -> None:
    again = str(uuid4())
    windows = {USER: Window()}

    arrivals = [arrival(0, 5, identity=again), arrival(1, 5, identity=again)]
    scores = rolling_scorer().score(arrivals, windows)

    assert (len(scores.verdicts), scores.duplicates) == (1, 1)
    assert windows[USER].amounts == [5]


def test_an_id_that_has_left_the_window_is_scored_again() -> None:
    again = str(uuid4())
    arrivals = [arrival(at, 5, identity=again if at in {0, 21} else None) for at in range(22)]

    scores = rolling_scorer(size=20).score(arrivals, {USER: Window()})

    assert (len(scores.verdicts), scores.duplicates) == (22, 0)


@given(
    st.lists(st.sampled_from([bytes(16), b"\1" * 16, bytes(15) + b"\1", b"\1" + bytes(15)]), max_size=40),
    st.sampled_from([0, 0x0101010101, 1 << 60]),
)
def test_ids_are_found_whole_and_only_those_kept(ids: list[bytes], amount: int) -> None:
    window = Window()
    for identity in ids:
        assert window.holds(identity) == (identity in window.ids)
        window.push(amount, identity, size=20)
    assert window.ids == ids[-20:]


@given(st.lists(AMOUNTS, max_size=60), st.integers(0, 60))
def test_replaying_from_any_point_of_a_finished_window_changes_nothing(
    amounts: list[int], start: int
) -> None:
    arrivals = [arrival(offset, amount) for offset, amount in enumerate(amounts)]
    windows = {USER: Window()}
    rolling_scorer().score(arrivals, windows)
    before = encode_window(windows[USER])

    scores = rolling_scorer().score(arrivals[start:], windows)

    assert scores == Scores(replayed=len(amounts[start:]))
    assert encode_window(windows[USER]) == before


def test_users_do_not_see_each_other() -> None:
    other = str(UUID(int=2))
    windows = {USER: Window(), other: Window()}
    arrivals = [arrival(at, 100 if at % 2 else 10_000, user=USER if at % 2 else other) for at in range(40)]

    scores = rolling_scorer().score(arrivals, windows)

    assert all(verdict.flag is None for verdict in scores.verdicts)
    assert windows[USER].amounts == [100] * 20


@given(st.lists(AMOUNTS, max_size=200), st.integers(-1, 2**62), st.integers(0, 2**42))
def test_a_window_comes_back_from_its_encoding(amounts: list[int], offset: int, updated: int) -> None:
    ids = [number.to_bytes(16, "big") for number in range(len(amounts))]
    window = Window.of(amounts, ids, last_offset=offset, updated_at=updated)

    read = decode_window(encode_window(window))

    assert encode_window(read) == encode_window(window)
    assert (read.amounts, read.ids, read.total) == (amounts, ids, sum(amounts))
    assert (read.last_offset, read.updated_at) == (offset, updated)


def test_a_window_of_before_the_version_has_nothing_behind_its_entries() -> None:
    before = encode_window(Window.of([1, 2]))[1:]

    assert decode_window(before).amounts == [1, 2]
    with pytest.raises(ValueError, match="not a window"):
        decode_window(before + b"x")


@given(st.binary(max_size=80))
def test_bytes_that_are_no_window_are_refused(data: bytes) -> None:
    try:
        window = decode_window(data)
    except ValueError:
        return
    assert window.count == len(window.amounts)
    assert decode_window(encode_window(window)) == window


NARROW = (
    "050207000000000000000968e5cf8b0100003205000000000000"
    "000102030405060708090a0b0c0d0e0f6400000000"
    "101112131415161718191a1b1c1d1e1fce04000000"
)
WIDE = (
    "100207000000000000000968e5cf8b0100000000000000000000"
    "000102030405060708090a0b0c0d0e0f64000000000000000000000000000000"
    "101112131415161718191a1b1c1d1e1fffff0f632d5ec76b0500000000000000"
)


@pytest.mark.parametrize(("data", "largest"), [(NARROW, 1230), (WIDE, 10**20 - 1)])
def test_a_window_has_the_bytes_that_changelogs_have_after_a_byte_for_the_version(
    data: str, largest: int
) -> None:
    ids = [bytes(range(16)), bytes(range(16, 32))]
    window = Window.of([100, largest], ids, last_offset=7, updated_at=1_700_000_000_009)

    assert encode_window(window).hex() == "01" + data
    assert decode_window(bytes.fromhex("01" + data)) == window
    assert decode_window(bytes.fromhex(data)) == window  # written before windows had a version


FORMER = [line.split() for line in (Path(__file__).parent / "former_windows.txt").read_text().splitlines()]
THEIR_AMOUNTS = {
    "three": [1230, 99, 450_000],
    "five": [100, 200, 300, 400, 50_000],
    "large": [1230, 5 * 10**19],
}


@pytest.mark.parametrize(("layout", "name", "data"), FORMER, ids=[f"{one[0]} {one[1]}" for one in FORMER])
def test_windows_that_each_layout_before_wrote_are_read_as_they_were_meant(
    layout: str, name: str, data: str
) -> None:
    window = decode_window(bytes.fromhex(data))

    assert window.amounts == THEIR_AMOUNTS[name], layout
    assert window.total == sum(THEIR_AMOUNTS[name])
    assert (window.last_offset, window.updated_at) == (517, 1_522_540_800_123)
    assert [one.hex() for one in window.ids[:2]] == [
        "9d5c0ab4e1f24c0e8a017be91f4d66a1",
        "9d5c0ab4e1f24c0e8a027be91f4d66a1",
    ]


@pytest.mark.parametrize("version", [0, 3, 6, 7, 9, 255])
def test_a_window_of_a_later_version_is_refused_by_its_number(version: int) -> None:
    first = bytes([version])
    with pytest.raises(ValueError, match=f"a window of version {first.hex()}: this program reads 01"):
        decode_window(first + encode_window(Window.of([1]))[1:])


def test_a_window_is_described_newest_first_in_decimal_text() -> None:
    described = describe(USER, Window.of([100, 250], last_offset=7))

    assert asdict(described) == {
        "user_id": USER,
        "count": 2,
        "mean": "1.75",
        "sum": "3.50",
        "amounts": ["2.50", "1.00"],
        "last_offset": 7,
        "updated_at": "1970-01-01T00:00:00+00:00",
    }
