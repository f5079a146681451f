"""The package of docs/detectors.md, as its text has it."""

from pathlib import Path

from tests.support.documents import blocks, section

_SECTION = section("docs/detectors.md", "One of your own, in a package")
[PYPROJECT] = blocks(_SECTION, "toml")
[MODULE] = blocks(_SECTION, "python")


def write_package(folder: Path) -> Path:
    """Its two files in a folder of its own."""
    package = folder / "txnwatch-velocity"
    package.mkdir()
    (package / "pyproject.toml").write_text(PYPROJECT)
    (package / "txnwatch_velocity.py").write_text(MODULE)
    return package
