"""A mapping is proposed by a known layout, or by names and values; what these do not tell is left open."""

import json
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from infra.mapping.amount_marks import written
from infra.mapping.cli import mapping
from infra.mapping.proposal import ProposedMapping, proposed
from infra.mapping.sample import SeenValues, sample_of
from infra.mapping.trying import tried
from infra.produce.records import Record
from schemas.mapping import MappingError, load_mapping
from schemas.mapping.ready import READY, ready_text
from tests.support.documents import blocks
from tests.support.layouts import ROWS, layout
from tests.support.source import ROOT

SEVEN = ["altman-ibm", "banksim", "handbook", "ieee-cis", "paysim", "sparkov", "ulb-creditcard"]
GERMAN = "Buchungstag;Kontonummer;Betrag;Währung;Händler\n" + "".join(
    f"{1 + day % 28:02}.03.2024 11:2{day % 10};DE{day % 7};{day}.234,5{day % 10};EUR;Laden {day % 3}\n"
    for day in range(1, 60)
)


def read(content: bytes) -> list[Record]:
    with NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return sample_of(Path(file.name)).records


def records(text: str) -> list[Record]:
    return read(text.encode())


def sample(name: str) -> list[Record]:
    return read(layout(name).csv())


def sources(proposal: ProposedMapping) -> dict[str, object]:
    fields = ("id", "user_id", "amount", "txn_date", "merchant_id", "currency", "status", "country")
    parts = {name: getattr(proposal.spec, name) for name in fields}
    return {name: part.source for name, part in parts.items() if part is not None and part.source}


@pytest.mark.parametrize("name", READY)
def test_a_layout_that_is_known_is_recognised(name: str) -> None:
    found = sample(name)
    proposal = proposed(found)

    assert (proposal.ready, proposal.decide, proposal.text) == (name, [], ready_text(name))
    outcome = tried(proposal.spec, found)
    assert len(outcome.mapped) + outcome.left_out == ROWS


EXPECTED: dict[str, dict[str, object]] = {
    "altman-ibm": {"user_id": "User", "amount": "Amount", "txn_date": ["Year", "Month", "Day", "Time"]},
    "banksim": {"user_id": "customer", "amount": "amount", "txn_date": "step", "merchant_id": "merchant"},
    "handbook": {
        "id": "TRANSACTION_ID",
        "user_id": "CUSTOMER_ID",
        "amount": "TX_AMOUNT",
        "txn_date": "TX_DATETIME",
        "merchant_id": "TERMINAL_ID",
    },
    "ieee-cis": {"id": "TransactionID", "amount": "TransactionAmt", "txn_date": "TransactionDT"},
    "paysim": {"user_id": "nameOrig", "amount": "amount", "txn_date": "step", "merchant_id": "nameDest"},
    "sparkov": {
        "id": "trans_num",
        "user_id": "cc_num",
        "amount": "amt",
        "txn_date": "trans_date_trans_time",
        "merchant_id": "merchant",
    },
    "adyen": {
        "id": "Psp Reference",
        "user_id": "Shopper Reference",
        "amount": "Amount",
        "txn_date": "Creation Date",
        "currency": "Currency",
        "country": "Shopper Country",
    },
    "paypal": {
        "id": "Transaction ID",
        "user_id": "From Email Address",
        "amount": "Gross",
        "txn_date": ["Date", "Time"],
        "status": "Status",
    },
    "stripe": {"id": "id", "user_id": "Customer ID", "amount": "Amount", "txn_date": "Created date (UTC)"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_names_and_values_alone_find_the_fields_of_a_layout_that_is_not_known(name: str) -> None:
    found = sources(proposed(sample(name), ready=False))

    assert {field: found.get(field) for field in EXPECTED[name]} == EXPECTED[name]


def test_numbers_of_cards_and_addresses_are_not_kept() -> None:
    for name in ("sparkov", "paypal"):
        proposal = proposed(sample(name), ready=False)
        assert proposal.spec.user_id.keep is False
        assert any("says who it is" in note for note in proposal.notes)


def test_a_table_in_another_language_is_read() -> None:
    proposal = proposed(records(GERMAN), zone="Europe/Berlin")

    assert proposal.decide == []
    assert sources(proposal) == {
        "id": "*",
        "user_id": "Kontonummer",
        "amount": "Betrag",
        "txn_date": "Buchungstag",
        "merchant_id": "Händler",
        "currency": "Währung",
    }
    assert load_mapping(proposal.text) == proposal.spec
    made = [made for _, made in tried(proposal.spec, records(GERMAN)).mapped]
    assert (made[0]["amount"], made[0]["txn_date"]) == ("1234.51", "2024-03-02T10:21:00Z")


def test_objects_within_objects_are_looked_into() -> None:
    events = [
        {
            "eventId": f"e-{number}",
            "ts": 1_700_000_000_000 + number,
            "payload": {"account": {"id": f"A{number % 9}"}, "amount": {"value": number, "currency": "EUR"}},
        }
        for number in range(50)
    ]
    proposal = proposed(records("\n".join(map(json.dumps, events))))

    assert proposal.decide == []
    assert sources(proposal) == {
        "id": "eventId",
        "user_id": "payload.account.id",
        "amount": "payload.amount.value",
        "txn_date": "ts",
        "currency": "payload.amount.currency",
    }
    assert proposal.spec.txn_date.epoch == "ms"
    assert any("minor_units" in note for note in proposal.notes)


def test_a_date_may_be_seconds_with_a_fraction() -> None:
    found = records("".join(f'{{"user": "a", "amount": 1, "time": {1711900000 + n}.25}}\n' for n in range(9)))
    assert proposed(found).spec.txn_date.epoch == "s"


def test_of_a_topic_the_key_and_the_timestamp_stand_in_for_a_user_and_a_date() -> None:
    found: list[Record] = [
        {
            "ref": f"T{number}",
            "amount": f"{number}.50",
            "kafka": {"key": f"K{number % 3}", "timestamp": 1_700_000_000_000},
        }
        for number in range(20)
    ]
    proposal = proposed(found, currency="EUR")

    assert proposal.decide == []
    assert sources(proposal)["user_id"] == "kafka.key"
    assert (proposal.spec.txn_date.source, proposal.spec.txn_date.epoch) == ("kafka.timestamp", "ms")
    dated = [{**record, "zeit": "2024-03-01T10:00:00Z", "kunde": "K"} for record in found]
    assert sources(proposed(dated, currency="EUR"))["txn_date"] == "zeit"


def test_what_records_do_not_tell_is_left_open() -> None:
    rows = "".join(f"0{1 + day % 9}/0{1 + day % 7}/2024,K{day % 5},{1 + day}.500\n" for day in range(40))
    proposal = proposed(records(f"Date,Customer,Amt\n{rows}"))

    assert [what.partition(":")[0] for what in proposal.decide] == [
        "amount",
        "txn_date",
        "txn_date",
        "currency",
    ]
    assert "%d/%m/%Y and %m/%d/%Y" in proposal.decide[1]
    with pytest.raises(MappingError) as error:
        load_mapping(proposal.text)
    assert str(error.value).count("mapping.toml:") == 4


def test_a_known_layout_whose_dates_could_be_of_another_form_is_left_open() -> None:
    """PayPal's exports have the day first in other countries."""
    found = [{**one, "Date": "03/04/2026"} for one in sample("paypal")]
    proposal = proposed(found)

    assert (proposal.ready, len(proposal.decide)) == ("paypal", 1)
    assert "03/04/2026" in proposal.decide[0]
    with pytest.raises(MappingError, match="has no year"):
        load_mapping(proposal.text)


@pytest.mark.parametrize(
    ("amounts", "name", "keys"),
    [
        (["000000001230", "000000000005"], "amount", {"minor_units": True}),
        (["1230", "5"], "amount_cents", {"minor_units": True}),
        (["1230", "5"], "amount", {}),
        (["12,5", "1.234,50"], "amount", {"decimal": ","}),
        (["1,234", "1,234.5"], "amount", {"decimal": "."}),
        (["$12.5", "-$3.00", "$4.00"], "amount", {"decimal": ".", "remove": "$", "sign": "skip negative"}),
        (["(12.50)", "-3.00", "4.00"], "amount", {"decimal": ".", "sign": "skip positive"}),
        (["12.5001"], "amount", {"decimal": ".", "round": "half even"}),
        (["1.234", "2.345"], "amount", None),
        (["12.5", "12,5"], "amount", None),
    ],
)
def test_how_amounts_are_written_is_told_by_all_of_them(
    amounts: list[str], name: str, keys: dict[str, object] | None
) -> None:
    found = written(SeenValues(name, amounts, len(amounts)))

    assert (None if found is None or found.unclear else found.keys) == keys


def test_currencies_may_be_numbers_as_messages_of_cards_have_them() -> None:
    rows = [f"2024-03-{1 + day:02}T10:00:00Z,h{day % 5},000000001230,978" for day in range(20)]
    text = "\n".join(["transmissionDateTime,pan_hash,amountTransaction,currencyCode", *rows])
    (first, *_) = tried(proposed(records(text)).spec, records(text)).mapped

    assert (first[1]["amount"], first[1]["currency"]) == ("12.30", "EUR")


def test_zones_are_taken_where_the_records_say_them_in_words_that_are_known() -> None:
    rows = [f"2024-03-{1 + day:02} 10:00:00,K{day % 5},1.50,EUR" for day in range(25)]
    for zone, said in [("America/Chicago", {}), ("CEST", {"CEST": "+02:00"})]:
        text = "\n".join(["At,Customer,Amount,Currency,Created Timezone", *(f"{row},{zone}" for row in rows)])
        date = proposed(records(text)).spec.txn_date
        assert (date.zone_from, date.zones) == ("Created Timezone", said)
    text = "\n".join(["At,Customer,Amount (EUR),Timezone", *(f"{row[:-4]},Eastern Time" for row in rows)])
    proposal = proposed(records(text))
    assert (proposal.spec.currency.value, len(proposal.decide)) == ("EUR", 1)


def test_days_and_months_are_left_open_too_where_the_time_has_a_column_of_its_own() -> None:
    rows = "".join(
        f"0{1 + day % 9}/0{1 + day % 7}/2024,10:1{day % 10},K{day % 5},1.50\n" for day in range(40)
    )
    proposal = proposed(records(f"Date,Time,Customer,Amt\n{rows}"), zone="UTC", currency="EUR")

    assert proposal.spec.txn_date.source == ["Date", "Time"]
    assert [what.partition(" fits ")[2] for what in proposal.decide] == ["%d/%m/%Y %H:%M and %m/%d/%Y %H:%M"]


def test_where_the_records_tell_it_nothing_is_left_open() -> None:
    rows = "".join(f"03/{1 + day % 28:02}/2024,K{day % 5},${1 + day}.50\n" for day in range(40))
    proposal = proposed(records(f"Date,Customer,Amt\n{rows}"), zone="UTC")

    assert proposal.decide == []
    assert (proposal.spec.txn_date.format, proposal.spec.currency.value) == ("%m/%d/%Y", "USD")
    assert proposal.spec.amount.remove == "$"


class TestCommands:
    def run(self, *arguments: object) -> Result:
        return CliRunner().invoke(mapping, [*map(str, arguments)], env={"COLUMNS": "200"})

    def test_ready_made_ones_are_listed_and_printed(self) -> None:
        assert [line.split()[0] for line in self.run("list").output.splitlines()] == list(READY)
        assert self.run("list", "paysim").output == ready_text("paysim")

    def test_a_proposal_is_written_and_can_be_checked(self, tmp_path: Path) -> None:
        file, output = tmp_path / "bank.csv", tmp_path / "bank.toml"
        file.write_text(GERMAN, "utf-8")

        guessed = self.run("guess", file, "--zone", "Europe/Berlin", "--output", output)
        checked = self.run("check", output, file)

        assert (guessed.exit_code, checked.exit_code) == (0, 0)
        assert "1.234,51 → 1234.51" in guessed.output
        assert "59 of 59 records become transactions of 7 users" in checked.output
        again = self.run("guess", file, "--output", output)
        assert (again.exit_code, "is there already" in again.output) == (1, True)

    def test_the_commands_of_the_page_do_what_it_says(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("payments.csv").write_bytes(layout("handbook").csv())
        for command in blocks((ROOT / "docs" / "data.md").read_text(), "sh")[0].splitlines():
            name, group, *arguments = command.split()
            assert (name, group) == ("txnwatch", "mapping")
            assert self.run(*arguments).exit_code == 0, command

    def test_an_open_question_ends_with_1_and_cannot_be_used(self, tmp_path: Path) -> None:
        file, output = tmp_path / "bank.csv", tmp_path / "bank.toml"
        file.write_text(GERMAN, "utf-8")

        guessed = self.run("guess", file, "--output", output)
        checked = self.run("check", output, file)

        assert guessed.exit_code == 1
        assert "to decide: txn_date: where the clock was" in guessed.output
        assert checked.output.startswith(f"Error: {output}:")
        assert "'?' is no zone" in checked.output

    def test_records_that_do_not_map_are_counted_with_their_reason(self, tmp_path: Path) -> None:
        file = tmp_path / "other.csv"
        file.write_text("TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TX_AMOUNT\n1,yesterday,2,3.00\n")

        checked = self.run("check", "handbook", file)

        assert checked.exit_code == 1
        assert "1 of 1 are refused: txn_date: 'yesterday' is not of the format" in checked.output

    def test_rows_that_are_no_records_are_said_and_end_a_check_with_1(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        good = "1,2024-03-01 10:00:00,2,3.00\n"
        file.write_text(f"TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TX_AMOUNT\n{good}1,2\n3\n{good}")

        for arguments in (("check", "handbook"), ("guess",)):
            done = self.run(*arguments, file)
            assert "2 rows cannot be read: line 3: 2 columns, but the header has 4" in done.output
            assert done.exit_code == 1
        file.write_text('{"a": NaN}\n')
        assert "there are no records in it: line 1: " in self.run("guess", file).output

    def test_a_mapping_is_checked_on_a_file_as_it_is_read_by_it(self, tmp_path: Path) -> None:
        file, spec = tmp_path / "rows.txt", tmp_path / "rows.toml"
        file.write_text("Zahlungen für Mai\n\nNr:Wer:Betrag:Tag\n1:2:3.50:2024-03-01\n", "latin-1")
        spec.write_text(
            '[source]\ndelimiter = ":"\nencoding = "latin-1"\n'
            '[id]\nfrom = "Nr"\nread = "uuid5"\n[user_id]\nfrom = "Wer"\nread = "uuid5"\n'
            '[amount]\nfrom = "Betrag"\n[txn_date]\nfrom = "Tag"\nformat = "%Y-%m-%d"\nzone = "UTC"\n'
            '[currency]\nvalue = "EUR"\n[status]\nvalue = "settled"\n',
            "utf-8-sig",  # as Windows' editors write it
        )
        done = self.run("check", spec, file)
        assert ("1 of 1 records become" in done.output, done.exit_code) == (True, 0), done.output
        assert "unknown encoding: klingon" in self.run("guess", file, "--encoding", "klingon").output

    def test_where_nothing_maps_a_proposal_ends_with_1(self, tmp_path: Path) -> None:
        file = tmp_path / "rows.csv"
        file.write_text("id,user,amount,date\n1,2," + "9" * 50 + ",2024-03-01T10:00:00Z\n")
        done = self.run("guess", file, "--currency", "EUR")
        assert ("0 of 1 records become" in done.output, done.exit_code) == (True, 1)

    def test_what_cannot_be_read_is_said_in_a_line(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty.csv"
        empty.touch()
        latin = tmp_path / "latin.csv"
        latin.write_bytes(GERMAN.encode("latin-1"))
        for file, said in [
            (empty, "there are no records in it"),
            (tmp_path / "no", "No such file"),
            (latin, "is not UTF-8"),
        ]:
            assert said in self.run("guess", file).output
        strange = tmp_path / "bank.csv"
        strange.write_text(GERMAN, "utf-8")
        assert "'Mars' is no zone" in self.run("guess", strange, "--zone", "Mars").output


CELLS = (
    st.text(max_size=8)
    | st.from_regex(r"[-$]?[0-9]{1,6}[.,]?[0-9]{0,3}", fullmatch=True)
    | st.from_regex(r"[0-3][0-9][./-][0-1][0-9][./-]20[0-9]{2}( 1[0-9]:00)?", fullmatch=True)
    | st.from_regex(r"20[0-9]{2}-0[0-9]-[0-3][0-9]T10:00:00Z", fullmatch=True)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.decimals()
    | st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2)
    | st.lists(st.integers(), max_size=2)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.binary(max_size=4)
    | st.floats()
)
COLUMNS = st.sampled_from(
    ["id", "user_id", "amount", "Betrag", "date", "Time", "a.b", "", "Currency"]
) | st.text(max_size=6)


@given(st.lists(st.dictionaries(COLUMNS, CELLS, min_size=1, max_size=8), min_size=1, max_size=5))
def test_whatever_the_records_are_the_proposal_can_be_used_or_says_what_is_open(found: list[Record]) -> None:
    proposal = proposed(found, currency="EUR")
    try:
        spec = load_mapping(proposal.text)
    except MappingError:
        assert proposal.decide
    else:
        assert (spec, proposal.decide) == (proposal.spec, [])
    tried(proposal.spec, found)
