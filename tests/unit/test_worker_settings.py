"""The worker's settings and the app that is made of them, nothing of it connected."""

import re

import pytest
from pydantic import ValidationError

from stream_app.app import create_app
from stream_app.settings import Settings


def test_several_brokers_are_all_known_to_faust() -> None:
    settings = Settings(kafka="one:9092, two:9093")

    app = create_app(settings)

    assert settings.servers == ["one:9092", "two:9093"]
    assert [url.host for url in app.transport.url] == ["one", "two"]


@pytest.mark.parametrize("kafka", ["", "one", "one:9092,", "http://one:9092", "one:port"])
def test_an_address_that_is_no_host_and_port_is_refused(kafka: str) -> None:
    with pytest.raises(ValidationError):
        Settings(kafka=kafka)


@pytest.mark.parametrize("sinks", ["", "postgres", "redis", "postgres,redis", "redis , postgres"])
def test_sinks_are_named_with_or_without_spaces(sinks: str) -> None:
    settings = Settings(sinks=sinks)

    assert settings.has_sink("postgres") == ("postgres" in sinks)
    assert settings.has_sink("redis") == ("redis" in sinks)


@pytest.mark.parametrize(
    "topics",
    [
        {"dlq_topic": "transactions"},
        {"scored_topic": "anomalies"},
        {"anomalies_topic": "txnwatch-windows-changelog"},
    ],
)
def test_two_topics_of_one_name_are_refused(topics: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="gives another topic the same name"):
        Settings.model_validate(topics)


def test_an_address_is_never_shown_with_its_password() -> None:
    settings = Settings.model_validate({"POSTGRES_URL": "postgresql://someone:hush-hush@localhost/txnwatch"})

    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize(
    ("detector", "shadow", "said"),
    [
        ("", "", "detector: .*must be one or several of"),
        ("rolling_mean,oracle", "", "detector: .*must be one or several of"),
        ("rolling_mean", "oracle", "shadow_detectors: .*must be one or several of"),
        ("rolling_mean, rolling_mean", "", "detector: .*names a detector twice"),
        ("rolling_mean", "rolling_mean", "shadow_detectors: .*names a detector twice, or one that decides"),
    ],
)
def test_detectors_are_known_and_each_has_one_part(detector: str, shadow: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(detector=detector, shadow_detectors=shadow)

    [error] = refused.value.errors()
    assert re.match(said, f"{error['loc'][0]}: {error['msg']}".lower().removeprefix("txnwatch_"))
