from contextlib import ExitStack

import pytest

from api.live.listeners import Client, Frame, Listeners, Subscription


class Transport:
    """As much of a transport as a client uses; nothing is read of it but by `read`."""

    def __init__(self) -> None:
        self.written = b""
        self.waiting = 0
        self.aborted = False
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.closing:
            raise RuntimeError("the handler is closed")  # uvloop's
        self.written += data
        self.waiting += len(data)

    def read(self, size: int) -> None:
        self.waiting -= size

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def abort(self) -> None:
        self.aborted = True


class Cut:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def client_of(
    transport: Transport, limit: int = 100, cut: Cut | None = None, *, chunked: bool = True
) -> Client:
    return Client(transport, chunked=chunked, limit=limit, count_cut_off=cut or Cut())  # type: ignore[arg-type]


def test_frames_wait_in_order_until_the_client_has_caught_up_and_are_sent_at_once_from_then_on() -> None:
    transport = Transport()
    subscription = Subscription(None, client_of(transport))
    assert subscription.push(Frame(b"a"))
    assert subscription.push(Frame(b"b"))
    assert subscription.take() == b"ab"
    assert subscription.push(Frame(b"c"))
    assert transport.written == b""
    assert subscription.take() == b"c"
    assert subscription.take() == b""
    assert subscription.push(Frame(b"d" * 17))
    assert transport.written == b"11\r\n" + b"d" * 17 + b"\r\n"


def test_who_has_left_is_passed_over_and_not_counted_as_cut_off() -> None:
    transport, cut = Transport(), Cut()
    client = client_of(transport, cut=cut)
    subscription = Subscription(None, client)
    assert subscription.take() == b""
    transport.closing = True
    assert not subscription.push(Frame(b"a"))
    client.part(Frame(b"bye"))
    assert client.gone
    assert (transport.written, cut.times) == (b"", 0)


def test_an_older_client_gets_no_chunks() -> None:
    transport = Transport()
    subscription = Subscription(None, client_of(transport, chunked=False))
    assert subscription.take() == b""
    subscription.push(Frame(b"a"))
    assert transport.written == b"a"


def test_who_lets_too_much_wait_is_cut_off_and_gets_nothing_after_the_hole() -> None:
    transport, cut = Transport(), Cut()
    subscription = Subscription(None, client_of(transport, 4, cut))
    assert subscription.push(Frame(b"abc"))
    assert not subscription.push(Frame(b"de"))
    assert not subscription.push(Frame(b"de"))
    assert (cut.times, transport.aborted) == (1, True)
    with pytest.raises(ConnectionError):
        subscription.take()


def test_who_does_not_read_what_was_sent_is_cut_off_too() -> None:
    transport, cut = Transport(), Cut()
    subscription = Subscription(None, client_of(transport, 20, cut))
    assert subscription.take() == b""
    assert subscription.push(Frame(b"a" * 16))
    transport.read(16)
    assert subscription.push(Frame(b"a" * 16))
    assert not subscription.push(Frame(b"a"))
    assert (cut.times, transport.aborted) == (1, True)


def test_one_frame_may_be_larger_than_the_limit() -> None:
    subscription = Subscription(None, client_of(Transport(), 4))
    assert subscription.push(Frame(b"abcdefgh"))
    assert subscription.take() == b"abcdefgh"


def test_a_client_that_reads_nothing_of_what_waits_is_cut_off_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("api.live.listeners.time.monotonic", lambda: now[0])
    transport, cut = Transport(), Cut()
    client = client_of(transport, 1000, cut)
    for read in (0, 10, 1, 0):  # as long as it reads anything, it stays
        client.write(Frame(b"a" * 10))
        transport.read(read)
        now[0] += 20
        client.check(30)
        assert cut.times == 0
    now[0] += 15
    client.check(30)
    assert (cut.times, transport.aborted) == (1, True)


def test_a_record_reaches_those_of_its_key_and_those_of_all() -> None:
    listeners = Listeners()
    client = client_of(Transport())
    mine, others, everything = (Subscription(key, client) for key in (b"mine", b"others", None))
    with listeners.joined(mine), listeners.joined(others), listeners.joined(everything):
        assert set(listeners.of(b"mine")) == {mine, everything}
        assert listeners.of(b"nobody's") == (everything,)
        assert listeners.of(None) == (everything,)
        assert set(listeners.everyone()) == {mine, others, everything}
    assert listeners.of(b"mine") == ()


def test_leaving_keeps_the_others_of_the_same_key() -> None:
    listeners = Listeners()
    first, second = (Subscription(b"k", client_of(Transport())) for _ in range(2))
    with listeners.joined(first):
        with listeners.joined(second):
            listeners.discard(second)
        assert listeners.of(b"k") == (first,)


class Key(bytes):
    """A user's key that counts what it is compared with."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Key.compared += 1
        return bytes.__eq__(self, other)

    __hash__ = bytes.__hash__


def test_no_stranger_is_looked_at_for_a_record() -> None:
    listeners = Listeners()
    client = client_of(Transport())
    mine, everything = Subscription(Key(b"mine"), client), Subscription(None, client)
    with ExitStack() as stack:
        for one in (mine, everything, *(Subscription(Key(b"%d" % n), client) for n in range(1000))):
            stack.enter_context(listeners.joined(one))
        Key.compared = 0
        assert set(listeners.of(Key(b"mine"))) == {mine, everything}
        assert listeners.of(Key(b"nobody's")) == (everything,)
        listeners.discard(mine)
        assert listeners.of(Key(b"mine")) == (everything,)
        assert Key.compared < 10
