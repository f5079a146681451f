"""Files of KEY=value lines, such as .env."""

from pathlib import Path


def write_env_file(path: Path, values: dict[str, str]) -> None:
    """Set these keys in the file, made if absent; its other lines stay as they are.

    A reader sees the old file or the new one, never half.
    """
    kept = [line for line in _lines(path) if line.partition("=")[0].strip() not in values]
    lines = kept + [f"{name}={value}" for name, value in values.items()]
    draft = path.with_name(f".{path.name}.new")
    draft.write_text("".join(f"{line}\n" for line in lines))
    draft.replace(path)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
