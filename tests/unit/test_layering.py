"""Who may import whom, read from the source of every module."""

import ast
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.source import ROOT, dependencies, imported, module_names, modules, parsed, short

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
    "stream_app/scoring": {"schemas", "msgspec"},
    "stream_app/window": {"schemas", "msgspec"},
    "stream_app/detectors": {
        "schemas",
        "infra.decisions.files",
        "infra.runtime.settings",
        "msgspec",
        "pydantic",
        "tomli_w",
    },
}
# The same amounts give the same verdict: nothing in the core asks when, where or by chance.
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "socket", "threading", "time"}
# Reads a file at start, and writes what history taught; no detector asks it anything.
READS_FILES = {"stream_app/detectors/decisions.py"}
SETTINGS = {
    "infra/runtime/settings.py",
    "infra/ingest/settings.py",
    "stream_app/settings.py",
    "api/settings.py",
}
# These start other programs, which get what we got; they read no setting of ours from it.
HANDS_ENVIRONMENT_TO_PROGRAMS = {"infra/embedded/jars.py", "infra/demo/children.py"}


def top(name: str) -> str:
    return name.partition(".")[0]


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
        (short(path), name)
        for path in modules(place)
        for name in imported(path)
        if not any(f"{name}.".startswith(f"{one}.") for one in allowed)
    ]

    assert modules(place)
    assert found == []


@pytest.mark.parametrize("place", ["stream_app/scoring", "stream_app/window", "stream_app/detectors"])
def test_scoring_reads_no_clock_chance_log_or_file(place: str) -> None:
    pure = [path for path in modules(place) if short(path) not in READS_FILES]
    found = [(short(path), name) for path in pure for name in imported(path) if top(name) in IMPURE]

    assert pure
    assert found == []


@pytest.mark.parametrize("folder", ALLOWED)
def test_only_the_settings_see_the_environment(folder: str) -> None:
    found = [
        short(path)
        for path in modules(folder)
        if short(path) not in SETTINGS | HANDS_ENVIRONMENT_TO_PROGRAMS
        and any(reads_environment(node) for node in ast.walk(parsed(path)))
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


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Also under TYPE_CHECKING and within functions: two modules that need each other are one."""
    names = module_names()

    assert circle({name: dependencies(path, names) for name, path in names.items()}) == []


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules of which each imports the one before, the last one named first as well; none where none do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) in (list("acba"), list("cbac"), list("bacb"))
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_tests_import_of_tests_only_what_is_in_support() -> None:
    found = [
        (short(path), name)
        for path in modules("tests")
        for name in imported(path)
        if top(name) == "tests" and not name.startswith("tests.support")
    ]

    assert found == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import api.live.feed", ["api.live.feed"]),
        ("from api import live, web", ["api.live", "api.web"]),
        ("from . import cluster", ["infra.embedded.cluster"]),
        ("from .kafka import Kafka", ["infra.embedded.kafka.Kafka"]),
        ("from ..topics import TopicsError", ["infra.topics.TopicsError"]),
        ("if TYPE_CHECKING:\n    import schemas", ["schemas"]),
        ("def late():\n    import stream_app", ["stream_app"]),
    ],
)
def test_imports_are_found_in_each_of_their_forms(source: str, expected: list[str], tmp_path: Path) -> None:
    module = tmp_path / "infra" / "embedded" / "probe.py"
    module.parent.mkdir(parents=True)
    module.write_text(source)

    assert list(imported(module, tmp_path)) == expected


def test_test_modules_of_folders_that_are_no_packages_have_names_of_their_own() -> None:
    """At the second of one name pytest ends the whole run."""
    plain = [
        path for path in (ROOT / "tests").rglob("test_*.py") if not path.with_name("__init__.py").exists()
    ]
    names = Counter(path.name for path in plain)

    assert [name for name, count in names.items() if count > 1] == []
