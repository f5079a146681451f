"""The API's own exports, sent again."""

import json
from decimal import Decimal

import pytest

from infra.produce.exported import is_export
from infra.produce.rows import Item, ProducerRecord, RowReader
from tests.support.messages import DATE, ID, USER

HEADING = b"id,user_id,amount,currency,txn_date,status,meta_data\r\n"
FLAG = (
    '{"is_anomaly": true, "detector": "rolling_mean", "mean": "1.00", "window": 20, "ratio": 9.5, '
    '"threshold": "5.00"'
)


def cells(meta_data: str, status: str = "paid") -> bytes:
    quoted = [f'"{cell}"' for cell in ("EUR", status.replace('"', '""'), meta_data.replace('"', '""'))]
    return f"{ID},{USER},9.50,{quoted[0]},{DATE},{quoted[1]},{quoted[2]}\r\n".encode()


def line(meta_data: str) -> bytes:
    return (
        f'{{"id":"{ID}","user_id":"{USER}","amount":"9.50","currency":"EUR","txn_date":"{DATE}",'
        f'"status":"paid","meta_data":{meta_data}}}\n'
    ).encode()


NEW_HEADING = HEADING.replace(b"\r", b",merchant_id,card_id,country,channel\r")


def new_cells(former: bytes, *more: str) -> bytes:
    return former.removesuffix(b"\r\n") + f",{','.join(more)}\r\n".encode()


def with_more(former: bytes, more: str) -> bytes:
    return former.replace(b"}\n", f",{more}}}\n".encode())


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_an_export_is_known_by_its_fields_and_verdicts(bom: bytes) -> None:
    assert is_export([bom + HEADING, cells('{"is_anomaly": false}')])
    assert is_export([bom + line('{"is_anomaly": true}')])
    assert is_export([bom + NEW_HEADING, new_cells(cells('{"is_anomaly": false}'), "", "", "", "")])
    assert is_export([bom + with_more(line('{"is_anomaly": true}'), '"card_id":"c","channel":"web"')])


@pytest.mark.parametrize(
    "head",
    [
        [],
        [HEADING],
        [HEADING, cells('{"shop": 7}')],
        [HEADING, cells("")],
        [HEADING, b"\xff\r\n"],
        [HEADING, b'"\r\n'],
        [HEADING.replace(b",amount", b""), cells('{"is_anomaly": false}')],
        [line('{"shop": 7}')],
        [with_more(line('{"is_anomaly": true}'), '"channel":"web","card_id":"c"')],
        [with_more(line('{"is_anomaly": true}'), '"shop":"s"')],
        [line("null")],
        [line('{"is_anomaly": "false"}')],
        [b"{}\n"],
        [b"{\n"],
        [b"[1]\n"],
    ],
)
def test_anything_else_is_none(head: list[bytes]) -> None:
    assert not is_export(head)


def message(item: Item) -> dict[str, object]:
    assert isinstance(item, ProducerRecord), item
    sent: dict[str, object] = json.loads(item.value, parse_float=Decimal)
    return sent


def test_verdicts_are_left_out_and_the_producers_own_stays() -> None:
    reader = RowReader(exported=True)
    own = '"shop": 12345678901234567.89'
    flagged, normal = f'{FLAG}, "revision": 2, {own}}}', f'{{"is_anomaly": false, {own}}}'
    expected = {
        "id": ID, "user_id": USER, "amount": "9.50", "currency": "EUR", "txn_date": DATE, "status": "paid",
        "meta_data": {"shop": Decimal("12345678901234567.89")},
    }  # fmt: skip
    for lines in ([HEADING, cells(flagged), cells(normal)], [line(flagged), line(normal)]):
        assert [message(item) for item in reader.read(lines)] == [expected, expected]


def test_optional_fields_are_sent_where_they_are_as_they_were() -> None:
    rows = [
        new_cells(cells('{"is_anomaly": false}'), '"\'=m"', "", "IN", '"web"'),
        new_cells(cells('{"is_anomaly": false}'), "", "", "", ""),
    ]
    full, plain = map(message, RowReader(exported=True).read([NEW_HEADING, *rows]))
    assert full == plain | {"merchant_id": "=m", "country": "IN", "channel": "web"}
    assert "merchant_id" not in plain


def test_a_later_line_without_what_verdicts_stand_in_is_sent_too() -> None:
    without = line("null").replace(b',"meta_data":null', b"")
    first, second = RowReader(exported=True).read([line('{"is_anomaly": false}'), without])
    assert message(first) == message(second) | {"meta_data": None}


@pytest.mark.parametrize(
    ("cell", "status"), [("'=1+1", "=1+1"), ("''=x", "'=x"), ("'tis", "'tis"), ("paid", "paid")]
)
def test_the_apostrophe_of_an_export_is_taken_away(cell: str, status: str) -> None:
    [item] = RowReader(exported=True).read([HEADING, cells('{"is_anomaly": false}', cell)])
    assert isinstance(item, ProducerRecord)
    assert json.loads(item.value)["status"] == status
