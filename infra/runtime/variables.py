"""The variables of an environment: those that are no setting, and secrets that are in files."""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

PREFIX = "TXNWATCH_"
_MOST_BYTES = 65_536


def unknown_variables(
    named: Iterable[str], known: Collection[str], all_known: Callable[[], set[str]]
) -> list[str]:
    """A line's part for each variable that is named like a setting, and is none of any part."""
    unknown = {name for name in map(str.upper, named) if name.startswith(PREFIX)} - set(known)
    if not unknown:
        return []
    of_all = all_known()
    if not of_all:
        return ["txnwatch's code is newer than its installation: run `make install`, or install it again"]
    nearest = {name: difflib.get_close_matches(name, of_all, 1, cutoff=0)[0] for name in unknown - of_all}
    return [f"{name}: there is no such setting; did you mean {nearest[name]}?" for name in sorted(nearest)]


def file_variable(variable: str) -> str:
    """The variable that names the file of a secret."""
    return f"{variable}_FILE"


def secrets_in_files(secrets: Iterable[str], *environments: Mapping[str, str | None]) -> dict[str, str]:
    """What the named files have, by the secret's variable; the first environment that says something counts.

    Raises:
        ValueError: A file cannot be read, or a secret is said in two ways; the line shows no value.
    """
    return {name: text for name in secrets for text in _in_file(name, environments)}


def _in_file(name: str, environments: Iterable[Mapping[str, str | None]]) -> Iterator[str]:
    for environment in environments:
        value, path = environment.get(name), environment.get(file_variable(name))
        if value and path:
            raise ValueError(f"{name} and {file_variable(name)}: give one of the two")
        if path:
            yield _read(file_variable(name), path)
        if value or path:
            return


def _read(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{variable}: no file that can be read: {error.strerror}") from None
    secret = text.decode(errors="replace").rstrip("\r\n")
    if not secret or len(text) > _MOST_BYTES or "\ufffd" in secret:
        raise ValueError(f"{variable}: the file has to have the secret as text, and nothing else")
    return secret
