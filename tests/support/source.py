"""The project's own source, read as text: its modules and what each of them imports."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCTION = ("schemas", "infra", "stream_app", "api")


def modules(under: str, root: Path = ROOT) -> list[Path]:
    """The Python files of a folder, or the one file."""
    path = root / under
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def production() -> list[Path]:
    """Every module that is installed."""
    return [path for folder in PRODUCTION for path in modules(folder)]


def short(path: Path) -> str:
    """The path as people name it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(path.read_text(), str(path))


def imported(path: Path, root: Path = ROOT) -> Iterator[str]:
    """The full names that a module imports, wherever in it that stands, `from x import y` as `x.y`."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)


def module_names() -> dict[str, Path]:
    """Every installed module by its full name; a package is its `__init__`."""
    names = {".".join(Path(short(path)).with_suffix("").parts): path for path in production()}
    return {name.removesuffix(".__init__"): path for name, path in names.items()}


def dependencies(path: Path, names: dict[str, Path]) -> set[str]:
    """The modules of ours that this one imports: `from x import y` is x.y where that is a module, else x."""
    found = (name if name in names else name.rpartition(".")[0] for name in imported(path))
    return {name for name in found if name in names and names[name] != path}
