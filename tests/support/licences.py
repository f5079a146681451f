"""Which packages an installation brings, and under which licences, by the packages' own metadata."""

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageMetadata, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# As SPDX has them; classifiers name families, and what else is in the field is a text.
_SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD-derived (Repoze)": "Repoze",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "Repoze Public License": "Repoze",
}
# What has neither, by the licence's file in the package.
_BY_FILE = {"axe-playwright-python": "MIT"}
_LONGEST = 40


def brought_by(*extras: str) -> set[str]:
    """The names of all packages that txnwatch needs here, with these extras, itself left out."""
    found: set[tuple[str, str]] = set()
    waiting = [("txnwatch", extra) for extra in ("", *extras)]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += _needed(*one)
    return {name for name, _ in found} - {"txnwatch"}


def _needed(name: str, extra: str) -> Iterator[tuple[str, str]]:
    for text in distribution(name).requires or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            yield from ((canonicalize_name(needed.name), one) for one in ("", *needed.extras))


def licence_of(name: str) -> str:
    """A package's licence by SPDX's name where it has one; empty where the package does not say."""
    metadata = distribution(name).metadata
    told = [_SPDX.get(one, one) for one in _told(metadata) if len(one) <= _LONGEST]
    return " AND ".join(dict.fromkeys(told)) or _BY_FILE.get(name, "")


def _told(metadata: PackageMetadata) -> Iterable[str]:
    """The expression; else the classifiers, else the field."""
    if "License-Expression" in metadata:
        return [metadata["License-Expression"]]
    classifiers = (one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier") or ())
    named = [one for one in classifiers if one in _SPDX]
    return named or (metadata["License"] or "").splitlines()[:1] if "License" in metadata or named else ()
