"""JSON that is not one object a line: an array, or objects over several lines. Each becomes a line."""

import io
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

from infra.produce.errors import DamagedInputError

_CHUNK = 1 << 16
_AFTER = "cannot be read after object"
# Numbers stay text: their digits are not looked at, and Python refuses to read very long ones.
_OBJECT_AT = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_BETWEEN = re.compile(r"[\s,]*")
_GOES_ON = re.compile(rb"[{\[,:]\s*$")


def is_over_lines(head: bytes) -> bool:
    """Whether what begins so is an array, or an object that does not end in its first line."""
    first, end, _ = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return first.startswith(b"[") or (first.startswith(b"{") and bool(end) and bool(_GOES_ON.search(first)))


def object_lines(stream: io.BufferedReader, longest: int) -> Iterator[bytes]:
    """Each value of a JSON array, or of values one after the other, in a line of its own.

    What is in memory is one value, of `longest` characters at most, and what was read with it.

    Raises:
        DamagedInputError: What follows is no JSON, or longer than that.
    """
    text, number, is_array = "", 0, False
    for more in _texts(stream):
        text = text + more if text or number else more.lstrip()
        if number == 0 and text.startswith("["):
            text, is_array = text[1:], True
        at = 0
        for start, at in _values(text):
            number += 1
            yield _line(text[start:at])
        text = text[at:]
        if len(text) > longest:
            raise DamagedInputError(f"{_AFTER} {number}: no JSON, or more than {longest} characters")
    if text.strip(" \t\r\n,") != "]" * is_array:
        raise DamagedInputError(f"{_AFTER} {number}: no JSON, or its end is missing")


def _values(text: str) -> Iterator[tuple[int, int]]:
    """Where each value begins and ends, up to one that is not whole."""
    end = 0
    while True:
        match = _BETWEEN.match(text, end)
        start = match.end() if match else end
        try:
            _, end = _OBJECT_AT(text, start)
        except (ValueError, RecursionError):
            return
        yield start, end


def _line(value: str) -> bytes:
    """A value without its line ends: in strings there are none."""
    return value.replace("\n", " ").replace("\r", " ").encode(errors="surrogateescape") + b"\n"


def _texts(stream: io.BufferedReader) -> Iterator[str]:
    # Bytes that are not UTF-8 become surrogates, so that only the object that holds them is rejected.
    decoder = getincrementaldecoder("utf-8-sig")("surrogateescape")
    while chunk := stream.read1(_CHUNK):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)
