"""The commands and paths that the documents name."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.source import ROOT

_PROGRAMS = r"(?:make|\.venv/bin/\w+|txnwatch|faust|python|pytest|docker|curl|pre-commit|pip)"
_COMMAND = re.compile(rf"{_PROGRAMS} \S.*")


@dataclass(frozen=True, slots=True)
class Command:
    """A command as its document has it, without a comment behind it."""

    document: str
    text: str


def documents() -> list[Path]:
    """What people read, generated pages among it."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[Command]:
    """Every command of every document, in order."""
    return [Command(page.name, text) for page in documents() for text in _commands(page.read_text())]


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(page: str, heading: str) -> str:
    """The text of a page's section."""
    _, _, rest = (ROOT / page).read_text().partition(f"\n## {heading}\n")
    return rest.partition("\n## ")[0]


def _commands(text: str) -> Iterator[str]:
    """All lines of fenced `sh` blocks, and what looks like a command in indented blocks and inline code."""
    for block in blocks(text, "sh"):
        yield from filter(None, map(_without_comment, block.splitlines()))
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", outside)]
    found = [*re.findall(r"^ {4}(\S.*)$", outside, re.MULTILINE), *inline]
    yield from (_without_comment(one) for one in found if _COMMAND.fullmatch(one))


def _without_comment(line: str) -> str:
    return re.sub(r"\s+# .*|^# .*", "", line).strip()
