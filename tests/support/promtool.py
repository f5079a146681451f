"""Prometheus' own tool, which tests use where it is installed."""

import shutil
import subprocess

import pytest


def promtool(*arguments: str, given: bytes = b"") -> str:
    """What it says, which is nothing where all is well; the test is skipped where there is none."""
    if (program := shutil.which("promtool")) is None:
        pytest.skip("promtool, which Prometheus brings, is not installed")
    done = subprocess.run(
        [program, *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode() + (f"exit code {done.returncode}" if done.returncode else "")
