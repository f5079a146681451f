"""sseclient-py over requests: it reads one response, and its caller comes back."""

import json
import sys
import time

import requests
import sseclient

last_event_id, seconds = None, 0.1
while True:
    headers = {"Accept": "text/event-stream"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    try:
        with requests.get(sys.argv[1], stream=True, timeout=10, headers=headers) as response:
            response.raise_for_status()
            for event in sseclient.SSEClient(response).events():
                last_event_id = event.id
                if event.retry:
                    seconds = int(event.retry) / 1000
                row = json.loads(event.data)
                if event.event == "message":
                    print(row["id"], flush=True)  # noqa: T201 - what it is for
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
        pass
    time.sleep(seconds)
