"""What `txnwatch ingest` refuses before it connects."""

import pytest
from click.testing import CliRunner

from infra.ingest.cli import ingest
from infra.runtime.settings import TopicSettings


@pytest.mark.parametrize("topic", TopicSettings(_env_file=None).topics)
def test_no_topic_of_its_own_is_read(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    done = CliRunner().invoke(ingest, ["--mapping", "paysim", "--topic", "foreign", "--topic", topic])
    assert done.exit_code == 2
    assert f"--topic {topic}: what txnwatch writes would be read again and again." in done.output
