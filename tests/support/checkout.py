"""A copy of the checkout, for commands that write into it."""

import os
import shutil
import sys
from pathlib import Path

from tests.support.source import ROOT

VENV = Path(sys.executable).parents[1]
_LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv",
    ".env",
    ".txnwatch",
    ".bench",
    ".*_cache",
    "__pycache__",
    ".hypothesis",
    "node_modules",
    "*.egg-info",
)


def copied(parent: Path) -> Path:
    """The project as it is here, in a folder of its own, with this virtual environment."""
    folder = parent / "txnwatch"
    shutil.copytree(ROOT, folder, ignore=_LEFT_OUT)
    (folder / ".venv").symlink_to(VENV)
    return folder


def environment(checkout: Path) -> dict[str, str]:
    """In which Python takes the project's modules from the copy."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}
