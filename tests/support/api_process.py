"""`txnwatch api` as a process, from its start to the line that says where it listens."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

TXNWATCH = Path(sys.executable).parent / "txnwatch"
API: tuple[Path | str, ...] = (TXNWATCH, "api")
SECONDS = 20


@dataclass(slots=True)
class Running:
    """A process that listens, and what it said until then."""

    process: asyncio.subprocess.Process
    url: str
    said: str


async def started(
    environment: dict[str, str], folder: Path, *arguments: str, program: tuple[Path | str, ...] = API
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program, *arguments, cwd=folder, env={"PATH": os.environ["PATH"], **environment},
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@asynccontextmanager
async def listening(
    environment: dict[str, str], folder: Path, *arguments: str, program: tuple[Path | str, ...] = API
) -> AsyncIterator[Running]:
    process = await started(environment, folder, *arguments, program=program)
    try:
        assert process.stderr is not None
        said = b""
        async with asyncio.timeout(SECONDS):
            while not (found := re.search(rb"listening on (http://\S+)", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line
        yield Running(process, found[1].decode(), said.decode())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(SECONDS):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()
