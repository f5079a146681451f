"""Passwords and tokens, of which digests alone are kept."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from typing import Final

SHORTEST: Final = 12
"""Characters of a password."""
LONGEST: Final = 1_000
# OWASP's least for scrypt: 128 MB, a quarter of a second.
_COST, _BLOCK, _LANES = 1 << 17, 8, 1
_MEMORY = 256 << 20


class WeakPasswordError(ValueError):
    """A password that is not taken; the message says why."""


def digest_of(secret: str) -> bytes:
    """Of a token, which is too long to be guessed: 32 bytes; of whatever bytes a header has for one."""
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()


def new_token(prefix: str) -> str:
    """A secret of 256 bits in letters and digits, that shows what it is for: `txn_…`."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def hashed(password: str) -> str:
    """A password's digest by scrypt, with its salt and cost; takes a quarter of a second.

    Raises:
        WeakPasswordError: It is too short or too long.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WeakPasswordError(f"a password has {SHORTEST} to {LONGEST} characters")
    salt = secrets.token_bytes(16)
    digest = _scrypt(password, salt, _COST, _BLOCK, _LANES)
    return "$".join(["scrypt", f"{_COST},{_BLOCK},{_LANES}", _text(salt), _text(digest)])


def fits(password: str, kept: str) -> bool:
    """Whether a password is the one whose digest was kept; takes as long as making one."""
    _, cost, salt, digest = kept.split("$")
    found = _scrypt(password[: LONGEST + 1], b64decode(salt), *map(int, cost.split(",")))
    return hmac.compare_digest(found, b64decode(digest))


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=_MEMORY, dklen=32)


def _text(data: bytes) -> str:
    return b64encode(data).decode()
