import json

from api.live import frames as sse


def test_a_rows_frame_is_one_data_line() -> None:
    assert sse.event(b'{"a":1}', "x.0-1") == b'id: x.0-1\ndata: {"a":1}\n\n'


def test_a_row_of_several_lines_stays_one_event() -> None:
    frame = sse.event(b'{\r\n "a":\n 1\r}', "x.0-1")
    fields = [line.partition(b": ") for line in frame.splitlines() if line]
    assert [name for name, _, _ in fields] == [b"id", b"data", b"data", b"data", b"data"]
    assert json.loads(b"\n".join(value for name, _, value in fields if name == b"data")) == {"a": 1}


def test_no_character_of_a_row_ends_its_line() -> None:
    texts = {"note": "a\u2028b\u2029c\x85d é €\u2027\u202a"}
    frame = sse.event(json.dumps(texts, ensure_ascii=False).encode(), "x.0-1").decode()
    assert frame.splitlines() == frame.split("\n")[:-1]
    assert json.loads(frame.splitlines()[1].removeprefix("data: ")) == texts


def test_every_event_has_data_that_parses() -> None:
    for frame in (sse.opening("x.0-1", 1000), sse.heartbeat("x.0-1"), sse.named_event("gap", {}, "x.0-1")):
        [block] = frame.decode().removesuffix("\n\n").split("\n\n")
        [data] = [line for line in block.split("\n") if line.startswith("data: ")]
        assert isinstance(json.loads(data.removeprefix("data: ")), dict)
    assert b"\n\n" not in sse.farewell(1000, "full")


def test_pieces_keep_every_byte_and_end_at_frames() -> None:
    frames = [bytes([65 + number]) * 40_000 for number in range(5)]
    pieces = list(sse.pieces(frames))
    assert b"".join(pieces) == b"".join(frames)
    assert [len(piece) for piece in pieces] == [80_000, 80_000, 40_000]


def test_clients_are_told_to_come_back_at_different_times() -> None:
    times = {sse.jittered(1000) for _ in range(50)}
    assert len(times) > 10
    assert all(1000 <= one <= 2000 for one in times)
