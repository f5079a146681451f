"""Texts that callers keep for us, for a time: signed, so that nobody makes them up or changes them."""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

_SEAL, _UNTIL = 32, 8


class Seals:
    """Signs for one use, with a key of its own."""

    def __init__(self, key: bytes, use: str) -> None:
        self._key = sha256(f"{use} ".encode() + key).digest()

    def closed(self, said: bytes, seconds: float) -> str:
        """What is said, good for so long, in letters, digits, - and _."""
        data = int(time.time() + seconds).to_bytes(_UNTIL) + said
        return urlsafe_b64encode(self.derived(data) + data).decode()

    def opened(self, text: str) -> bytes:
        """What was said; empty where it is none of ours, or too old."""
        try:
            data = urlsafe_b64decode(text)
        except ValueError:
            return b""
        seal, until, said = data[:_SEAL], data[_SEAL : _SEAL + _UNTIL], data[_SEAL + _UNTIL :]
        is_ours = hmac.compare_digest(seal, self.derived(until + said))
        return said if is_ours and int.from_bytes(until) > time.time() else b""

    def derived(self, said: bytes) -> bytes:
        """A secret that belongs to this: 32 bytes."""
        return hmac.digest(self._key, said, "sha256")
