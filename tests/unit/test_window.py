"""A user's record as bytes: what comes back of it, what former programs wrote, and what is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.window import ANY_CURRENCY, Window, decode_window, encode_window
from stream_app.window.recent import ENTRY_BYTES, Note, key_of, read_note, with_note
from stream_app.window.window import MOST_CURRENCIES

AMOUNTS = st.integers(0, 10**20 - 1)
CODES = [f"{a}{b}C" for a in "ABCDEFGHIJ" for b in "ABCDE"]


def entry(number: int) -> bytes:
    return number.to_bytes(8) + bytes(11) + b"\1"


@given(
    st.lists(st.tuples(st.sampled_from(["EUR", "JPY", "USD"]), AMOUNTS, st.binary(max_size=70)), max_size=60),
    st.integers(-1, 2**62),
    st.integers(0, 2**42),
    st.dictionaries(st.integers(0, 59), st.binary(max_size=300), max_size=5),
)
def test_a_record_comes_back_from_its_bytes(
    joined: list[tuple[str, int, bytes]], offset: int, updated: int, flags: dict[int, bytes]
) -> None:
    window = Window(last_offset=offset, updated_at=updated)
    for number, (currency, amount, state) in enumerate(joined):
        window.use(currency)
        window.push(amount, entry(number), size=20)
        window.state = state
        if number in flags:
            window.notes = with_note(window.notes, entry(number), Note(flags[number]))

    read = decode_window(encode_window(window))

    assert read == window
    assert read.recent == b"".join(map(entry, range(len(joined))[-20:]))
    for currency, its in read.by_currency.items():
        amounts = [amount for code, amount, _ in joined if code == currency][-20:]
        assert (its.amounts, its.total, its.count) == (amounts, sum(amounts), len(amounts))
    noted = range(len(joined))[-20:]
    assert {n: read_note(read.notes, entry(n)).flag for n in noted} == {n: flags.get(n, b"") for n in noted}
    assert (read.notes == b"") == (not any(n in flags for n in noted))


def test_a_user_of_one_currency_has_a_record_that_is_a_fifth_larger_than_before() -> None:
    window = Window()
    for number in range(30):
        window.use("INR")
        window.push(1230, entry(number), size=20)

    assert len(encode_window(window)) == 537  # it was 447, without what tells a revision from a duplicate


def test_a_user_who_sends_every_code_has_a_record_of_some_kilobytes() -> None:
    window, dropped = Window(), 0
    for number in range(3 * len(CODES)):
        dropped += window.use(CODES[number % len(CODES)])
        window.push(number, entry(number), size=20)

    assert dropped == 3 * len(CODES) - MOST_CURRENCIES
    assert [*window.by_currency] == CODES[-MOST_CURRENCIES:]
    assert len(encode_window(window)) < 2_000
    assert window.use(CODES[-2]) == 0  # one that is there takes no place
    assert [*window.by_currency][-2:] == [CODES[-1], CODES[-2]]


def test_a_window_of_no_known_currency_becomes_that_of_the_next() -> None:
    window = decode_window(bytes.fromhex(FORMER[0][2]))

    assert window.currency == ANY_CURRENCY
    window.use("eur")
    assert (window.currency, window.count) == ("EUR", 3)
    window.use("JPY")
    assert (window.currency, window.count) == ("JPY", 0)


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
    assert len(window.recent) == window.count * ENTRY_BYTES
    first = bytes.fromhex("9d5c0ab4e1f24c0e8a017be91f4d66a1")
    assert window.recent_keys[0] == key_of(first)


def test_what_stood_behind_a_window_of_version_1_is_its_state() -> None:
    [data] = [data for layout, name, data in FORMER if (layout, name) == ("version-1", "five")]

    assert decode_window(bytes.fromhex(data) + b"kept").state == b"kept"


@given(st.binary(max_size=80) | st.binary(max_size=80).map(lambda data: b"\3\5" + data))
def test_bytes_that_are_no_window_are_refused(data: bytes) -> None:
    try:
        window = decode_window(data)
    except ValueError:
        return
    assert window.count == len(window.amounts)
    assert decode_window(encode_window(window)) == window


def test_a_window_of_a_later_version_is_refused_by_its_number() -> None:
    with pytest.raises(ValueError, match="a window of version 06: this program reads up to 03"):
        decode_window(b"\6" + encode_window(Window())[1:])
