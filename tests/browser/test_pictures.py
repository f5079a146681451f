"""The pictures in docs/ are those that are taken, and README.md shows them."""

import re

from tests.support.browser.screenshots import DOCS, PICTURES


def test_the_pictures_are_those_that_are_taken_and_each_is_in_the_readme() -> None:
    there = {path.stem for path in DOCS.glob("*.png")}
    readme = (DOCS.parent / "README.md").read_text()
    first = re.search(r"!\[[^\]]+\]\(([^)]+)\)", readme)

    assert there == set(PICTURES)
    assert set(re.findall(r"\]\(docs/(\w+)\.png\)", readme)) == there
    assert first is not None
    assert (DOCS.parent / first[1]).read_bytes().startswith(b"\x89PNG")
