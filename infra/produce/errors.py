"""What is wrong with an input, in words for the person who gave it."""


class InputError(Exception):
    """The file cannot be read to its end, or holds no transactions; the message says why."""


class DamagedInputError(InputError):
    """What follows cannot be read."""
