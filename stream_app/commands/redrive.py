"""What is mended in a refused message, and whether it would be accepted now."""

from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from schemas.dead_letter import DeadLetter
from schemas.transaction import Decoder, Refused


class NotSentError(Exception):
    """The message would be refused again; the text says why."""


def mended(letter: DeadLetter, value: bytes | None, *, rekey: bool) -> DeadLetter:
    """The letter with another value, where one is given, and with the key that its `user_id` has to have.

    Raises:
        NotSentError: The key is asked for, and the value has no `user_id`.
    """
    if value is not None:
        letter = replace(letter, value=value, cut_from=None)
    return replace(letter, key=_user_of(letter.value)) if rekey else letter


def check(letter: DeadLetter, decoder: Decoder | None) -> None:
    """Look whether the letter is here whole, and would be accepted now; any would, without a decoder.

    Raises:
        NotSentError: It is not, or would be refused.
    """
    if letter.cut_from is not None:
        whole = f"{letter.source_topic} {letter.source}"
        raise NotSentError(f"only the start of its {letter.cut_from} bytes was kept: see {whole}")
    try:
        if decoder is not None:
            decoder.decode(letter.value, letter.key, int(datetime.now(UTC).timestamp() * 1000))
    except Refused as refused:
        raise NotSentError(f"still refused: {refused}") from None


def _user_of(value: bytes) -> bytes:
    try:
        return str(msgspec.json.decode(value)["user_id"]).lower().encode()
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise NotSentError("its user_id cannot be told") from None
