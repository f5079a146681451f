"""Reading many messages at once comes to what reading each by itself does, whoever its neighbours are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import fast_path
from schemas.refusal import Refused
from schemas.transaction import Decoder, Transaction
from tests.support.messages import message
from tests.support.traffic import Sent, traffic

NOW_MS = 1_800_000_000_000
DECODER = Decoder(max_bytes=2000, verdict_names=frozenset(["mean", "is_anomaly"]))
TRAFFIC = traffic(300, users=40)
ONE, OTHER = TRAFFIC[0].value, TRAFFIC[1].value
# What is no message, but could be taken for one together with what stands before or after it.
PIECES = [
    b"",
    b" ",
    b"\n",
    b"]",
    b"[",
    b"]\n[",
    ONE + OTHER,
    ONE + b"," + OTHER,
    ONE + b"][" + OTHER,
    ONE + b"]\n[" + OTHER,
    ONE[:-1],
    ONE[:-1] + b',"meta_data":{"a":[1',
    b"2]}}",
    b"1]}}]\n[" + OTHER,
    ONE[:-2],
    b'"}',
    ONE[:50],
    ONE[50:],
]
SLOW = [
    message(meta_data='{"shop": 7}'),
    message(meta_data='{"shop": 7, "mean": 3, "is_anomaly": true}'),
    message(amount="57.1"),
    message(amount='"1e1"'),
    message(amount='"57.161"'),
    message(txn_date='"2018-04-01T05:30:31+05:30"'),
    message(txn_date='"2018-04-01T05:30:31"'),
    message(txn_date='"2027-01-16T08:00:01Z"'),
    message(unknown="1"),
    message(currency='"EU"'),
    message(status='"\\u0000"'),
    message(status='"\\u00e9"'),
    message(status='"é"'),
    message(meta_data='{"a":"' + "x" * 2000 + '"}'),
    message(merchant_id='"m"'),
    message(merchant_id="null", card_id='"c"', country='"in"', channel='""'),
    message(merchant_id='""', unknown="1"),
    message(merchant_id='"a\\u0009b"'),
    message(card_id='"\u00a0"'),
    message(card_id='"\u007f"'),
    message(channel=f'"{"x" * 33}"'),
    message(country='"I1"'),
    message(country='"\u0131n"'),
    message(id='"F06A72CF-E094-50A7-B663-8929E421DD6F"'),
]
KEYS = [b"1e145f1e-f2e1-512a-aebb-35bb6597e178", TRAFFIC[0].key, TRAFFIC[0].key + TRAFFIC[1].key, b"", None]
Arrived = tuple[bytes, bytes | None, int]


def arrived(sent: Sent) -> Arrived:
    return sent.value, sent.key, NOW_MS


RECORDS = st.one_of(
    st.sampled_from(TRAFFIC).map(arrived),
    st.tuples(
        st.sampled_from([*PIECES, *SLOW, ONE]),
        st.sampled_from(KEYS),
        st.sampled_from([-1, NOW_MS, NOW_MS - 86_400_000]),
    ),
)


def outcome(found: Transaction | Refused) -> Transaction | tuple[str, str]:
    return (found.reason, found.detail) if isinstance(found, Refused) else found


def by_itself(record: Arrived) -> Transaction | tuple[str, str]:
    try:
        return DECODER.decode(*record)
    except Refused as refused:
        return outcome(refused)


@given(st.lists(RECORDS, max_size=12))
def test_many_are_read_as_each_is(records: list[Arrived]) -> None:
    values, keys, timestamps = ([record[at] for record in records] for at in range(3))

    found = DECODER.decode_many(values, keys, timestamps)  # type: ignore[arg-type]

    assert [outcome(one) for one in found] == [by_itself(record) for record in records]


@pytest.mark.parametrize("at", [0, 127, 128, 299])
def test_one_bad_message_among_many_is_the_only_one_refused(at: int) -> None:
    values = [sent.value for sent in TRAFFIC]
    values[at] = ONE + OTHER

    found = DECODER.decode_many(values, [sent.key for sent in TRAFFIC], [NOW_MS] * len(TRAFFIC))

    assert [number for number, one in enumerate(found) if isinstance(one, Refused)] == [at]
    assert [one.id for one in found if isinstance(one, Transaction)] == [
        sent.id for number, sent in enumerate(TRAFFIC) if number != at
    ]


def test_ordinary_messages_take_the_fast_path() -> None:
    messages, amounts = fast_path.read([sent.value for sent in TRAFFIC], [sent.key for sent in TRAFFIC])

    assert [one.id for one in messages] == [sent.id for sent in TRAFFIC]
    assert amounts == [sent.hundredths for sent in TRAFFIC]
    assert not fast_path.are_full(messages)


def test_messages_with_optional_fields_take_it_too_beside_those_without() -> None:
    full = message(merchant_id='"m"', country='"in"')
    messages, _ = fast_path.read([ONE, full], [TRAFFIC[0].key, KEYS[0]])

    assert fast_path.are_full(messages)
    assert fast_path.optional(messages) == [(None, None, None, None), ("m", None, "IN", None)]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (ONE + OTHER, b""),
        (ONE + b"][" + OTHER, b""),
        (ONE[:60], ONE[60:]),
        (ONE[:-1] + b',"meta_data":{"a":[1', b"2]}}"),
        (ONE[:-1] + b',"meta_data":{"a":"', b'"}}'),
    ],
)
def test_what_only_its_neighbour_completes_is_refused_by_the_fast_path(first: bytes, second: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        fast_path.read([first, second], [TRAFFIC[0].key, TRAFFIC[1].key])
