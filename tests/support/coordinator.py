"""A group's coordinator that is still loading, which a broker's is for a moment after its start."""

from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchRequest


def answer_as_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have answers about a group's offsets say so: no partition, and an error for the answer as a whole."""
    send = AIOKafkaAdminClient._send_request  # noqa: SLF001 - where every answer comes through

    async def loading(self: Any, request: Any, node: Any = None) -> Any:
        answer = await send(self, request, node)
        if isinstance(request, OffsetFetchRequest):
            answer.topics, answer.error_code = [], GroupLoadInProgressError.errno
        return answer

    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request", loading)
