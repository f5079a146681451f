"""The loop that the worker and the API run on: uvloop's, with a mend to aiokafka where the two disagree.

A connection that has just ended may be written to before its reader has noticed. asyncio ignores that;
uvloop raises RuntimeError, which aiokafka expects nowhere: of the task that keeps a client's metadata up
to date it is the silent end, and the client never finds a broker again.
"""

import functools
from typing import Any

import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def new_event_loop() -> uvloop.Loop:
    """A loop of uvloop, on which aiokafka takes a write to an ended connection for a broken one."""
    AIOKafkaConnection.send = _send
    return uvloop.new_event_loop()


_send_on_asyncio = AIOKafkaConnection.send


@functools.wraps(_send_on_asyncio)
def _send(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
    try:
        return _send_on_asyncio(self, *arguments, **options)
    except RuntimeError as error:
        if not self._writer.is_closing():
            raise
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error
