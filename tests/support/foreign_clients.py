"""Programs of other people's clients, and what they need."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.source import ROOT

PROGRAMS = ROOT / "tests/clients/programs"
NPM = ("eventsource", "eventsource-client", "fetch-event-source", "kafkajs", "launchdarkly-eventsource")
PYPI = ("confluent-kafka", "httpx-sse", "sseclient-py")
GO = ("kafkago", "r3labs", "tmaxmax")


class Installed:
    """The programs with what they need, each kind installed when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(PROGRAMS, folder, dirs_exist_ok=True)

    def command(self, name: str) -> list[str]:
        """How to run a client's program, but for its arguments."""
        if name in NPM:
            self._once(
                "node_modules", "npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"
            )
            return ["node", f"{name}.mjs"]
        if name in PYPI:
            if self._once("python", sys.executable, "-m", "venv", "python"):
                self._run("python/bin/pip", "install", "--quiet", "--requirement", "requirements.txt")
            return ["python/bin/python", f"over_{name.replace('-', '_')}.py"]
        if name in GO:
            if not (self.folder / "go/go.sum").exists():
                self._run("go", "-C", "go", "mod", "tidy")
            self._once(name, "go", "-C", "go", "build", "-o", f"../{name}", f"./{name}")
            return [f"./{name}"]
        classes = "dependency:build-classpath", "-Dmdep.outputFile=classpath"
        self._once("classpath", "mvn", "--quiet", "--batch-mode", *classes)
        return ["java", "-cp", (self.folder / "classpath").read_text(), f"{name}.java"]

    def _once(self, made: str, *command: str) -> bool:
        if (self.folder / made).exists():
            return False
        self._run(*command)
        return True

    def _run(self, *command: str) -> None:
        subprocess.run(command, cwd=self.folder, check=True, stdin=subprocess.DEVNULL)
