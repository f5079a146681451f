"""Each ready-made mapping reads its layout: amounts, dates, users and the rest are right."""

import csv
import json
import re
from datetime import UTC, datetime

import pytest

from infra.runtime.mapping_files import read_mapping
from schemas.mapping import Mapper, MappingError, load_mapping
from schemas.mapping.ready import READY, ready_mapping, ready_text
from schemas.transaction import Decoder
from tests.support.documents import blocks, section
from tests.support.layouts import MAKERS, ROWS, Expected, layout
from tests.support.source import ROOT

NOW_MS = 1_900_000_000_000


@pytest.mark.parametrize("name", READY)
def test_a_sample_of_its_layout_comes_out_right(name: str) -> None:
    sample, decoder = layout(name), Decoder()
    rows = list(csv.DictReader(sample.csv().decode().splitlines()))

    mapper = Mapper(ready_mapping(name), decoder)
    mapped = [mapper.read(row, NOW_MS) for row in rows]

    assert len(mapped) == ROWS
    assert mapper.read_many(rows, [NOW_MS] * ROWS) == mapped
    ids = set()
    for one, expected in zip(mapped, sample.expected, strict=True):
        assert (one is None) is (expected is None)
        if one is not None and expected is not None:
            found = decoder.decode(one.value, one.key, NOW_MS)
            ids.add(found.id)
            wanted = (expected.user_id, expected.amount, expected.txn_date, expected.currency)
            assert (found.user_id, found.amount, found.txn_date, found.currency) == wanted
            assert (found.status, found.merchant_id) == (expected.status, expected.merchant_id)
            assert found.id == expected.id or expected.id is None
    assert len(ids) == sum(isinstance(one, Expected) for one in sample.expected)


def test_each_has_a_sample_and_says_what_it_is_for() -> None:
    assert set(READY) == MAKERS.keys()
    for name in READY:
        about = ready_mapping(name).source
        assert about.about
        assert set(about.columns) <= layout(name, 1).rows[0].keys()
        assert ready_text(name).startswith("#:schema ../../mapping.schema.json\n")


def test_no_layout_is_taken_for_another() -> None:
    for name in READY:
        columns = layout(name, 1).rows[0].keys()
        assert [other for other in READY if set(ready_mapping(other).source.columns) <= columns] == [name]


def test_a_mapping_is_given_by_its_file_or_by_the_name_of_a_ready_made_one() -> None:
    assert read_mapping("handbook") is ready_mapping("handbook")
    with pytest.raises(MappingError, match="ready-made are adyen, altman-ibm,"):
        read_mapping("nothing")
    with pytest.raises(MappingError, match=r"^nothing\.toml: No such file or directory$"):
        read_mapping("nothing.toml")


def test_the_page_names_each_ready_made_one_and_its_example_works() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    table = section("docs/data.md", "Ready-made mappings")
    (example,) = blocks(page, "toml")
    record = {
        "TransactionID": 17,
        "customer": {"number": "K1"},
        "Betrag": "1.234,50",
        "state": "C",
        "Buchung": "01.04.2018 10:00",
        "shop": "S1",
        "type": "PAYMENT",
        "category": "food",
    }

    found = Mapper(load_mapping(example), Decoder()).read(record, NOW_MS)

    assert sorted(re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE)) == list(READY)
    assert found is not None
    assert json.loads(found.value)["amount"] == "1234.50"
    assert found.date == datetime(2018, 4, 1, 8, tzinfo=UTC)
