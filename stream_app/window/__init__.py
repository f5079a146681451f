"""What is kept of a user: a window for each currency, and the last transactions."""

from stream_app.window.codec import VERSION, decode_window, encode_window, is_later
from stream_app.window.window import ANY_CURRENCY, Window

__all__ = ["ANY_CURRENCY", "VERSION", "Window", "decode_window", "encode_window", "is_later"]
