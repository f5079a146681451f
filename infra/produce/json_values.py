"""JSON that is not one object a line: an array, or objects over several lines. Each becomes a line."""

import io
import json
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

from infra.produce.errors import DamagedInputError

_CHUNK = 1 << 16
# Numbers stay text: their digits are not looked at, and Python refuses to read very long ones.
_VALUE_AT = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode
_BETWEEN = re.compile(r"[\s,]*")
_BLANK = " \t\r\n,"
_NO_JSON = "no JSON, or its end is missing"
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
    text = JsonText(stream, longest)
    is_array = text.takes("[")
    yield from text.lines()
    if (is_array and not text.takes("]")) or text.following():
        raise text.damaged()


class JsonText:
    """A text of JSON that comes in pieces, read value by value."""

    def __init__(self, stream: io.BufferedReader, longest: int) -> None:
        self._pieces = _pieces(stream)
        self._longest = longest
        self._text = ""
        self._objects = 0

    def damaged(self, why: str = _NO_JSON) -> DamagedInputError:
        """What is raised where it cannot be read further."""
        return DamagedInputError(f"cannot be read after object {self._objects}: {why}")

    def following(self) -> str:
        """The next characters, none of them blank or a comma at first; empty at the end."""
        self._text = self._text.lstrip(_BLANK)
        while not self._text and self._more():
            self._text = self._text.lstrip(_BLANK)
        return self._text

    def takes(self, mark: str) -> bool:
        """Whether this mark follows; if so it is taken."""
        found = self.following().startswith(mark)
        self._text = self._text[found:]
        return found

    def value(self) -> str:
        """Take the next value.

        Raises:
            DamagedInputError: There is none.
        """
        while True:
            _, end = next(_values(self.following()), (0, 0))
            if 0 < end < len(self._text) or not self._more():  # a number may go on in the next piece
                break
        if not end:
            raise self.damaged()
        found, self._text = self._text[:end], self._text[end:]
        return found

    def lines(self) -> Iterator[bytes]:
        """Take each value up to the end, or to what is no value, as a line."""
        while (text := self.following()) and not text.startswith("]"):
            at = 0
            for start, at in _values(text):
                self._objects += 1
                yield _line(text[start:at])
            self._text = text[at:]
            if not at and not self._more():
                return

    def _more(self) -> bool:
        if len(self._text) > self._longest:
            raise self.damaged(f"no JSON, or more than {self._longest} characters")
        piece = next(self._pieces, "")
        self._text += piece
        return bool(piece)


def _values(text: str) -> Iterator[tuple[int, int]]:
    """Where each value begins and ends, up to one that is not whole."""
    end = 0
    while True:
        match = _BETWEEN.match(text, end)
        start = match.end() if match else end
        try:
            _, end = _VALUE_AT(text, start)
        except (ValueError, RecursionError):
            return
        yield start, end


def _line(value: str) -> bytes:
    """A value without its line ends: in strings there are none."""
    return value.replace("\n", " ").replace("\r", " ").encode(errors="surrogateescape") + b"\n"


def _pieces(stream: io.BufferedReader) -> Iterator[str]:
    # Bytes that are not UTF-8 become surrogates, so that only the object that holds them is rejected.
    decoder = getincrementaldecoder("utf-8-sig")("surrogateescape")
    while chunk := stream.read1(_CHUNK):
        if piece := decoder.decode(chunk):
            yield piece
    yield decoder.decode(b"", final=True)
