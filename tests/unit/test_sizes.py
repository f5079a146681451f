"""How much a reader has to take in at a time: folders, modules, functions, and the names of classes."""

import ast
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_app.detectors import DETECTORS
from stream_app.detectors.rolling_mean import RollingMean
from tests.support.source import ROOT, parsed, production, short

ENTRIES = {"stream_app": 16, "api": 12}
# 47,000: several detectors and what history teaches them, backtests, rules over features, a log of decisions
# and proofs by it, other systems' files and topics in any usual format, ways out for those who copy rows, and
# readers that are written for each Avro schema.
PRODUCTION_LINES, MODULE_LINES = 47_000, 320
MEDIAN_FUNCTION, NINE_OF_TEN_FUNCTIONS, LONGEST_FUNCTION = 6, 15, 40
SHARED_NAMES: dict[str, str] = {
    "Settings": "each program has its own, and none uses two",
    "Refused": "the decoder's exception, and an answer listed so in the OpenAPI document",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def definitions(path: Path) -> Iterator[Function | ast.ClassDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function | ast.ClassDef):
            yield node


def functions() -> list[tuple[str, int]]:
    """Each function's place and name, and its lines from its `def` on."""
    return [
        (f"{short(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in production()
        for node in definitions(path)
        if isinstance(node, Function)
    ]


@pytest.mark.parametrize(("folder", "most"), ENTRIES.items())
def test_a_folder_can_be_taken_in_at_a_look(folder: str, most: int) -> None:
    entries = [path.name for path in (ROOT / folder).iterdir() if path.name != "__pycache__"]

    assert len(entries) <= most, sorted(entries)


def test_all_that_is_installed_is_bounded() -> None:
    """A new feature pays with what it makes unnecessary, or with this number and a reason.

    Detectors beside the default are not counted, each a file or a folder: an installation may have its own.
    """
    modules = {name.partition(":")[0] for name in DETECTORS.values()} - {RollingMean.__module__}
    others = {ROOT / name.replace(".", "/") for name in modules}
    counted = [path for path in production() if not others & {path.with_suffix(""), *path.parents}]

    assert sum(len(path.read_text().splitlines()) for path in counted) <= PRODUCTION_LINES


def test_modules_are_short() -> None:
    long = {short(path): len(path.read_text().splitlines()) for path in production()}

    assert {name: lines for name, lines in long.items() if lines > MODULE_LINES} == {}


def test_functions_are_short() -> None:
    lines = [count for _, count in functions()]

    assert statistics.median(lines) <= MEDIAN_FUNCTION
    assert statistics.quantiles(lines, n=10)[-1] <= NINE_OF_TEN_FUNCTIONS
    assert [name for name, count in functions() if count > LONGEST_FUNCTION] == []


def test_a_class_name_has_one_owner() -> None:
    owners: defaultdict[str, list[str]] = defaultdict(list)
    # Each detector has its Settings and its Evidence.
    for path in production():
        for node in definitions(path) if "detectors" not in path.parts else ():
            if isinstance(node, ast.ClassDef):
                owners[node.name].append(short(path))

    shared = {name: paths for name, paths in owners.items() if len(paths) > 1}
    assert shared.keys() == SHARED_NAMES.keys(), shared
