"""Who may import whom, read from the source of every module."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What each folder may import of ours, beside itself. tests and benchmarks may import anything.
ALLOWED: dict[str, set[str]] = {
    "schemas": set(),
    "infra": {"schemas"},
    "stream_app": {"schemas", "infra"},
    "api": {"schemas", "infra"},
}
OURS = {*ALLOWED, "tests", "benchmarks"}

# schemas and the scoring core are to be usable, and testable, without anything installed or running.
ONLY: dict[str, set[str]] = {
    "schemas": {"msgspec"},
    "stream_app/scoring.py": {"schemas", "msgspec"},
    "stream_app/window.py": {"msgspec"},
    "stream_app/detectors": {"schemas"},
}
# The same amounts give the same verdict: nothing in the core asks when, where or by chance.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "threading", "time"}
SETTINGS = {
    "infra/runtime/settings.py",
    "infra/produce/settings.py",
    "stream_app/settings.py",
    "api/settings.py",
}
# These start other programs, which get what we got; they read no setting of ours from it.
HANDS_ENVIRONMENT_TO_PROGRAMS = {"infra/embedded/jars.py", "infra/demo/children.py"}


def modules(under: str) -> list[Path]:
    """The Python files of a folder, or the one file."""
    path = ROOT / under
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The full names that a module imports, wherever in it that stands."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield ".".join([*base, *([node.module] if node.module else [])])


def top(name: str) -> str:
    return name.partition(".")[0]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_of_ours_only_what_it_may(folder: str) -> None:
    forbidden = OURS - ALLOWED[folder] - {folder}

    found = [
        (short(path), name) for path in modules(folder) for name in imported(path) if top(name) in forbidden
    ]

    assert modules(folder)
    assert found == []


@pytest.mark.parametrize("place", ONLY)
def test_the_core_needs_nothing_but_what_is_named(place: str) -> None:
    allowed = sys.stdlib_module_names | ONLY[place] | {place.partition("/")[0]}

    found = [
        (short(path), name) for path in modules(place) for name in imported(path) if top(name) not in allowed
    ]

    assert modules(place)
    assert found == []


@pytest.mark.parametrize("place", ["stream_app/scoring.py", "stream_app/window.py", "stream_app/detectors"])
def test_scoring_reads_no_clock_chance_log_or_file(place: str) -> None:
    found = [(short(path), name) for path in modules(place) for name in imported(path) if top(name) in IMPURE]

    assert modules(place)
    assert found == []


@pytest.mark.parametrize("folder", ALLOWED)
def test_only_the_settings_see_the_environment(folder: str) -> None:
    found = [
        short(path)
        for path in modules(folder)
        if short(path) not in SETTINGS | HANDS_ENVIRONMENT_TO_PROGRAMS
        and any(reads_environment(node) for node in ast.walk(ast.parse(path.read_text())))
    ]

    assert found == []


def reads_environment(node: ast.AST) -> bool:
    names = {"environ", "environb", "getenv"}
    if isinstance(node, ast.Attribute):
        return node.attr in names
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and names & {a.name for a in node.names} != set()
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import api.live.feed", ["api.live.feed"]),
        ("from api import feed", ["api"]),
        ("from . import cluster", ["infra.embedded"]),
        ("from .kafka import Kafka", ["infra.embedded.kafka"]),
        ("from ..topics import TopicsError", ["infra.topics"]),
        ("def late():\n    import stream_app", ["stream_app"]),
    ],
)
def test_imports_are_found_in_each_of_their_forms(
    source: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    module = tmp_path / "infra" / "embedded" / "probe.py"
    module.parent.mkdir(parents=True)
    module.write_text(source)

    assert list(imported(module)) == expected
