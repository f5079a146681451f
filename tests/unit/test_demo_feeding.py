"""How the demo reads a person's own file, which it says."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from infra.demo.feeding import arguments_for
from infra.produce.errors import InputError
from schemas.mapping import load_mapping
from tests.support.layouts import layout

USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
ROW = f"f06a72cf-e094-50a7-b663-8929e421dd{{0}},{USER},{{0}}.50,EUR,2018-04-{{0}}T10:00:00Z,paid"
PLAIN = ["id,user_id,amount,currency,txn_date,status", *map(ROW.format, range(10, 30))]


def found(file: Path) -> tuple[list[str], str]:
    screen = io.StringIO()
    return arguments_for(file, file.parent, Console(file=screen, width=160)), screen.getvalue()


def test_columns_with_the_fields_own_names_need_no_mapping(tmp_path: Path) -> None:
    (file := tmp_path / "rows.csv").write_text("\n".join(PLAIN))
    assert found(file) == ([str(file)], f"{file}: columns known by their names\n")
    file.write_text("\n".join([PLAIN[0], *PLAIN[:0:-1]]))
    assert found(file)[0] == [str(file), "--sort"]


def test_a_layout_that_is_known_is_read_by_its_mapping(tmp_path: Path) -> None:
    (file := tmp_path / "rows").write_bytes(layout("paysim", 200).csv())
    arguments, said = found(file)
    assert arguments[:3] == [str(file), "--mapping", "paysim"]
    assert "the layout of paysim" in said
    assert "nameOrig" in said


def test_for_any_other_a_mapping_is_made_shown_and_kept(tmp_path: Path) -> None:
    rows = [f"K{number % 3};B{number};{number},50;{number % 28 + 1:02}.04.2018" for number in range(60)]
    (file := tmp_path / "rows.csv").write_text(
        "\n".join(["Kundennummer;Buchungsnummer;Betrag;Buchungstag", *rows])
    )
    arguments, said = found(file)
    assert arguments[1:3] == ["--mapping", str(tmp_path / "mapping.toml")]
    spec = load_mapping((tmp_path / "mapping.toml").read_text("utf-8"))
    assert (spec.user_id.source, spec.amount.source, spec.currency.value) == ("Kundennummer", "Betrag", "XXX")
    assert "Betrag" in said
    assert "zone UTC and currency XXX where the file says none" in said


def test_what_only_a_person_can_say_is_asked_before_anything_is_started(tmp_path: Path) -> None:
    (file := tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(InputError, match=r"--output M\.toml"):
        found(file)
