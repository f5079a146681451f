"""Importing any module of ours changes nothing of any library: only composition roots do, by calls."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# In a process of its own: libraries first, as they are; then every module of ours; then what differs.
# Faust and others load parts of themselves when they are first used, so that an attribute which is new to a
# module is no change; a class has no such attributes.
PROGRAM = """
import importlib, pkgutil, sys, types

OURS = ("schemas", "infra", "stream_app", "api")
MADE_BY_PYTHON = {"__annotations__": 0, "__slotnames__": 0}

def import_ours():
    for name in OURS:
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(found.name)

def state(value):
    function = getattr(value, "__func__", value)
    if isinstance(function, types.FunctionType):
        return (function, function.__code__, function.__defaults__, str(function.__kwdefaults__))
    return (value,)

def differ(before, after):
    return len(before) != len(after) or any(one is not other for one, other in zip(before[:3], after[:3]))

def owners(names):
    for name in names:
        module = sys.modules[name]
        yield name, module
        for attribute, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                yield f"{name}.{attribute}", value

if sys.argv[1:] == ["list"]:
    import_ours()
    # Modules of this name are made by compiled ones as they load, and cannot be imported before.
    mine = [name for name in sys.modules if not name.startswith("_cython_")]
    loaded = [name for name in mine if name.partition(".")[0] not in {*OURS, "__main__"}]
    print(" ".join(name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names))
    raise SystemExit

for name in sys.argv[1:]:
    importlib.import_module(name)
seen = {
    name: (owner, {key: state(value) for key, value in list(vars(owner).items())})
    for name, owner in owners(sys.argv[1:])
}
import_ours()
for name, (owner, before) in seen.items():
    now = vars(owner)
    for key, value in before.items():
        if key not in now or differ(value, state(now[key])):
            print(f"{name}.{key}")
    if isinstance(owner, type):
        print(*[f"{name}.{key}" for key in now if key not in before | MADE_BY_PYTHON])
"""


def run(*arguments: str) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def test_importing_our_modules_changes_nothing_of_any_library() -> None:
    libraries = run("list")

    assert {"aiokafka.conn", "faust.app.base", "mode.worker", "uvloop", "aiohttp.web"} <= {*libraries}
    assert run(*libraries) == []
