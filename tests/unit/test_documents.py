"""What the documents name is there, and figures said twice are the same."""

import re
from pathlib import Path

import pytest

from tests.support.documents import documents
from tests.support.source import ROOT

FOLDERS = "schemas|infra|stream_app|api|benchmarks|tests|docs"


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_paths_that_a_document_names_are_there(page: Path) -> None:
    text = page.read_text()
    named = {path.rstrip("./") for path in re.findall(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./-]*", text)}
    # What the reader is to write is not there yet; pictures stand beside the page that shows them.
    written = set(re.findall(r"(?:Create|Give it a test,) `([^`]+)`", text))

    missing = [path for path in sorted(named - written) if not (ROOT / path).exists()]
    assert [path for path in missing if not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", documents(), ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())

    for path, heading in links:
        target = page.parent / path if path else page
        assert target.exists(), path
        if heading:
            assert heading in headings(target), (path, heading)


def test_each_test_that_the_page_on_security_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())

    assert len(named) > 8
    for module, test in named:
        assert f"def {test}(" in (ROOT / module).read_text(), test


def headings(page: Path) -> set[str]:
    """A page's headings as links name them."""
    found = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_decisions_are_numbered_in_their_order() -> None:
    numbers = re.findall(r"^## (\d+)\. ", (ROOT / "docs" / "decisions.md").read_text(), re.MULTILINE)

    assert len(numbers) > 40
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def test_the_rates_in_the_readme_are_those_that_were_measured() -> None:
    table = (ROOT / "README.md").read_text()
    rates = re.findall(r"^\| [^|]+ \| (\d[\d,]+)", table, re.MULTILINE)
    measured = (ROOT / "docs" / "benchmarks.md").read_text()

    assert len(rates) == 5
    assert [rate for rate in rates if f"| {rate} |" not in measured] == []
