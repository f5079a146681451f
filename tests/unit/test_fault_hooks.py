"""The fault runs patch the worker by name: a name that moved has to fail here, not in a run of an hour."""

import subprocess
import sys

import pytest

ALL_OFF = """
from tests.support.faults.protections import PROTECTIONS, switch_off
for name in PROTECTIONS:
    switch_off(name)
"""
ALL_POINTS = """
from tests.support.faults.entry import Points, wrap
from tests.support.faults.plan import Plan
wrap(Points(Plan()))
"""
GONE = """
from stream_app.sinks.postgres import PostgresRows
del PostgresRows._check_rows
"""


def run(code: str) -> str:
    """What it wrote to stderr: a process of its own, as nothing is put back."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("code", [ALL_OFF, ALL_POINTS], ids=["protections", "points"])
def test_every_name_that_is_patched_is_there(code: str) -> None:
    assert run(code) == ""


def test_a_name_that_is_gone_is_an_error() -> None:
    assert "PostgresRows has no _check_rows" in run(GONE + ALL_OFF)
