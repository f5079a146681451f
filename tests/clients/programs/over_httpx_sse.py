"""The loop of httpx-sse's documentation, for streams that end."""

import sys
import time

import httpx
from httpx_sse import connect_sse

last_event_id, seconds = "", 0.1
with httpx.Client(timeout=10) as client:
    while True:
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        try:
            with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
                for event in source.iter_sse():
                    last_event_id = event.id
                    if event.retry is not None:
                        seconds = event.retry / 1000
                    row = event.json()
                    if event.event == "message":
                        print(row["id"], flush=True)  # noqa: T201 - what it is for
        except httpx.TransportError:
            pass
        time.sleep(seconds)
