"""AsyncAPI's own parser takes the document of the topics."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.source import ROOT

PARSER = "@asyncapi/parser@3.6.3"
NPM = shutil.which("npm")
# Warnings count too; that there is a later version of AsyncAPI is less than one.
CHECK = """
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";
const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const found = diagnostics.filter((one) => one.severity < 2);
console.log(JSON.stringify(found), document?.channels().length);
process.exit(document && !found.length ? 0 : 1);
"""


@pytest.mark.slow
@pytest.mark.skipif(NPM is None, reason="npm is not installed")
def test_the_document_has_nothing_that_its_parser_would_mend(tmp_path: Path) -> None:
    assert NPM is not None
    environment = {"PATH": str(Path(NPM).parent)}
    options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
    subprocess.run([NPM, "install", *options, PARSER], cwd=tmp_path, check=True)
    (tmp_path / "check.mjs").write_text(CHECK)
    checked = subprocess.run(
        ["node", "check.mjs", ROOT / "docs/asyncapi.json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.endswith(" 5\n")
