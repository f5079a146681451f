"""Foreign records as transactions on the right partitions, or as dead letters that say why not."""

import json
from collections.abc import Sequence
from dataclasses import replace

from infra.ingest.converting import Converter
from infra.ingest.ordering import SpreadUsers
from infra.runtime.partitioners import Partitioner, partition_of
from schemas.dead_letter import DeadLetter, Place
from schemas.mapping import Mapper, load_mapping
from schemas.transaction import Decoder
from tests.support.foreign_topics import MAPPING, Foreign, decoding, foreign, partition
from tests.support.traffic import traffic

ONE = partition(1)
EVERY = traffic(20, users=5)


def converter() -> Converter:
    mapper = Mapper(load_mapping(MAPPING + '[[only]]\nfrom = "ccy"\nnot = "XXX"'), Decoder())
    return Converter(decoding(), mapper, Partitioner("murmur2", 4), 2, "shop.toml")


def fetched(values: Sequence[bytes | None]) -> list[Foreign]:
    return [Foreign(value, offset, key=b"k", headers=[("h", b"v")]) for offset, value in enumerate(values, 7)]


def test_each_goes_where_its_user_is_in_the_order_of_its_source() -> None:
    found = converter().convert([(ONE, record) for record in fetched(list(map(foreign, EVERY)))])

    sent = {
        number: [(key, json.loads(value or b"")["amount"]) for key, value, _ in its]
        for number, its in found.transactions.items()
    }
    expected: dict[int, list[tuple[bytes, str]]] = {}
    for one in EVERY:
        expected.setdefault(partition_of("murmur2", one.key, 4), []).append((one.key, one.amount))
    assert {
        number: [(key, f"{float(amount):.2f}") for key, amount in its] for number, its in sent.items()
    } == expected
    assert (found.letters, found.outcomes) == ({}, {"mapped": 20})


def test_what_does_not_map_becomes_a_letter_that_has_all_of_it() -> None:
    one = EVERY[0]
    values = [b"\xff", foreign(replace(one, amount="-1")), None, foreign(replace(one, currency="XXX"))]

    found = converter().convert([(ONE, record) for record in fetched(values)])

    assert found.outcomes == {
        "refused_json": 1,
        "refused_amount": 1,
        "tombstone": 1,
        "left_out": 1,
        "mapped": 0,
    }
    assert found.transactions == {}
    [(key, value, headers), _] = found.letters[1]
    letter = DeadLetter.of(_Letter(key, value, headers))
    assert (letter.key, letter.value, letter.reason, letter.source_topic) == (
        b"k",
        b"\xff",
        "json",
        "payments",
    )
    assert (letter.source, letter.mapping, letter.headers) == (Place(1, 7), "shop.toml", (("h", b"v"),))


class _Letter:
    """A record of the topic of dead letters."""

    partition, offset, timestamp = 0, 0, 0

    def __init__(self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        self.key, self.value, self.headers = key, value, headers


def test_headers_that_would_not_fit_are_left_out() -> None:
    record = Foreign(b"\xff", headers=[("h", b"v" * 50_000)])

    [(_, _, headers)] = converter().convert([(ONE, record)]).letters[1]

    assert [name for name, _ in headers if name.startswith("source.")] == []


def test_users_of_several_partitions_are_looked_for_where_that_matters() -> None:
    spread = SpreadUsers()
    records = [(partition(number), Foreign(foreign(EVERY[0]))) for number in (0, 1)]

    replace(converter(), spread=spread).convert(records)

    assert spread._said  # noqa: SLF001 - the log has it
