"""The pictures of docs/architecture.md are those of the code."""

import re
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.source import ROOT, dependencies, module_names, short

PAGE = ROOT / "docs" / "architecture.md"
# What everything may use: an arrow to it would say nothing. Nor would one from what puts a program together.
USED_BY_ALL, PUTS_TOGETHER = {"schemas", "infra/runtime", "settings"}, {"cli"}
ARROW = re.compile(r"^ *\w+ --> \w+\n", re.MULTILINE)
PACKAGES = {"infra", "stream_app", "api"}


def test_modules_in_the_pictures_are_there() -> None:
    pictures = blocks(PAGE.read_text(), "mermaid")
    drawn = {name for picture in pictures for name in re.findall(r"[\w/]+\.py", picture)}
    boxes = rooms_of(pictures[0]).values()
    drawn |= {f"{room.folder}/{module}.py" for room in boxes for module in room.modules}

    missing = [name for name in sorted(drawn) if not (ROOT / name).exists()]
    assert len(drawn) > 20
    assert [name for name in missing if not (ROOT / "stream_app" / name).exists()] == []


def test_the_picture_of_the_rooms_has_the_imports_that_there_are(pytestconfig: pytest.Config) -> None:
    """`--update-goldens` draws the arrows again."""
    text = PAGE.read_text()
    picture = blocks(text, "mermaid")[0]
    arrows = [f"    {source} --> {target}\n" for source, target in sorted(imports_between(picture))]
    if pytestconfig.option.update_goldens:
        PAGE.write_text(text.replace(picture, ARROW.sub("", picture) + "".join(arrows)))

    assert ARROW.findall(blocks(PAGE.read_text(), "mermaid")[0]) == arrows


def imports_between(picture: str) -> set[tuple[str, str]]:
    """The boxes of which one imports from the other, but for what the page says is left out."""
    rooms = rooms_of(picture)
    names = {name: path for name, path in module_names().items() if name not in PACKAGES}
    nodes = {name: node_of(path, rooms) for name, path in names.items()}
    imports = {
        (nodes[name], nodes[other]) for name, path in names.items() for other in dependencies(path, names)
    }
    return {
        (source, target)
        for source, target in imports
        if source != target
        and not USED_BY_ALL & {rooms[target].folder, *rooms[target].modules}
        and not PUTS_TOGETHER & {*rooms[source].modules}
    }


def rooms_of(picture: str) -> dict[str, "Room"]:
    """The boxes by their node."""
    return {node: Room(label) for node, label in re.findall(r'(\w+)\["([^"]+)"\]', picture)}


class Room:
    """A box of the picture: a folder, or these modules of it."""

    def __init__(self, label: str) -> None:
        self.folder, _, modules = label.partition("<br/>")
        self.modules = re.split(r",\s*|<br/>", modules) if modules else []

    def holds(self, path: Path) -> bool:
        """Whether the module is in it."""
        folder = ROOT / self.folder
        return path.stem in self.modules and path.parent == folder if self.modules else folder in path.parents


def node_of(path: Path, rooms: dict[str, Room]) -> str:
    """The one box that a module is in."""
    found = [node for node, room in rooms.items() if room.holds(path)]
    assert len(found) == 1, f"{short(path)} is in {found}"
    return found[0]
