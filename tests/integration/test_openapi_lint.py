"""Redocly's linter finds nothing in the OpenAPI document."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.source import ROOT

LINTER = "@redocly/cli@2.77.0"
NPM = shutil.which("npm")


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="npm is not installed")
def test_the_document_has_nothing_that_redocly_would_mend(tmp_path: Path) -> None:
    assert NPM is not None
    options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    subprocess.run([NPM, "install", *options, LINTER], cwd=tmp_path, check=True)
    document = ROOT / "tests/goldens/openapi.json"
    linted = subprocess.run(
        ["node_modules/.bin/redocly", "lint", "--extends=recommended-strict", document],
        cwd=tmp_path,
        env={"PATH": str(Path(NPM).parent), "REDOCLY_TELEMETRY": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr
