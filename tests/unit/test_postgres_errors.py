"""Which of Postgres' errors pass, by SQLSTATE, and what is said of each."""

import ssl

import asyncpg
import pytest

from infra.runtime.postgres import LASTING_STATES, PASSING_CLASSES, PASSING_STATES, is_transient, reason

PASSING = """
    08000 08001 08003 08004 08006 08007 25006 25P03 25P04 40000 40001 40002 40003 40P01 53000 53100 53200
    53300 53400 55006 55P03 57000 57014 57P01 57P02 57P03 57P05 58030 72000
"""
LASTING = """
    08P01 0A000 22003 22021 23502 23505 25001 26000 28000 28P01 2BP01 3D000 42501 42601 42703 42P01 42P05
    57P04 58000 58P01 58P02 XX000 XX001
"""


@pytest.mark.parametrize("state", PASSING.split())
def test_what_passes_without_help_is_tried_again(state: str) -> None:
    assert is_transient(asyncpg.PostgresError.new({"C": state, "M": "words"}))


@pytest.mark.parametrize("state", LASTING.split())
def test_what_does_not_pass_is_not(state: str) -> None:
    assert not is_transient(asyncpg.PostgresError.new({"C": state, "M": "words"}))


def test_the_tables_name_only_what_there_is() -> None:
    known = {one.sqlstate for one in vars(asyncpg).values() if getattr(one, "sqlstate", None)}

    assert {state for state in known if is_transient(asyncpg.PostgresError.new({"C": state}))} >= set(
        PASSING_STATES
    ) & known
    assert set(LASTING_STATES) <= known
    assert set(PASSING_CLASSES) <= {state[:2] for state in known}


@pytest.mark.parametrize(
    ("error", "passes", "why"),
    [
        (ConnectionRefusedError(), True, "nothing listens at its address"),
        (TimeoutError(), True, "it did not answer in time"),
        (OSError("no route to host"), True, ""),
        (asyncpg.InternalClientError(), True, ""),
        (asyncpg.InterfaceError(""), True, ""),
        (asyncpg.InvalidPasswordError(), False, "it refuses the password"),
        (
            asyncpg.InvalidAuthorizationSpecificationError(),
            False,
            "it refuses the user, or a connection without TLS",
        ),
        (asyncpg.DataError("invalid input for query argument $1"), False, ""),  # of asyncpg itself
        (asyncpg.ClientConfigurationError("port"), False, "a parameter of its URL cannot be used"),
        (ssl.SSLCertVerificationError(), False, "its certificate is not trusted"),
        (KeyError(), False, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_of_the_connection(error: Exception, *, passes: bool, why: str) -> None:
    assert (is_transient(error), reason(error)) == (passes, why)
