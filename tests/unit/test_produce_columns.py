"""Which column of a file is which field."""

import pytest

from infra.produce.columns import Columns


def test_the_fields_own_names_come_before_all_synonyms() -> None:
    names = ("timestamp", "transaction_id", "id", "user_id", "customer_id", "txn_date", "value", "amount")
    assert Columns().pick(names) == {
        "id": "id",
        "user_id": "user_id",
        "amount": "amount",
        "txn_date": "txn_date",
    }


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("transaction_id", "id"),
        ("TransactionID", "id"),
        ("Transaction Id", "id"),
        ("customer_id", "user_id"),
        ("CUSTOMER_ID", "user_id"),
        ("userId", "user_id"),
        ("TX_AMOUNT", "amount"),
        ("timestamp", "txn_date"),
        ("TX_DATETIME", "txn_date"),
        ("created-at", "txn_date"),
        ("Currency", "currency"),
        ("metadata", "meta_data"),
        ("Status", "status"),
    ],
)
def test_usual_synonyms_are_found_whatever_their_case_and_punctuation(name: str, field: str) -> None:
    assert Columns().pick(("other", name)) == {field: name}


def test_other_columns_are_left_out() -> None:
    assert Columns().pick(("label", "label_scenario", "ids", "")) == {}


def test_a_chosen_column_comes_before_the_fields_own_name() -> None:
    assert Columns({"amount": "gross"}).pick(("amount", "gross")) == {"amount": "gross"}


def test_a_chosen_column_is_not_also_found_as_a_synonym_of_another_field() -> None:
    assert Columns({"id": "timestamp"}).pick(("timestamp",)) == {"id": "timestamp"}


def test_a_chosen_column_has_to_be_there() -> None:
    columns = Columns({"amount": "gross", "id": "key"})
    assert columns.absent(["amount", "key"]) == ["gross"]
    assert columns.pick(("amount", "key")) == {"id": "key"}
