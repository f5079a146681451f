"""One message as a producer sends it, with any of its fields changed."""

ID = "f06a72cf-e094-50a7-b663-8929e421dd6f"
USER = "1e145f1e-f2e1-512a-aebb-35bb6597e178"
DATE = "2018-04-01T00:00:31Z"


def message(**changed: str | None) -> bytes:
    """A valid message, with fields given as JSON text, or None for absent, in place of its own."""
    usual = {
        "id": f'"{ID}"',
        "user_id": f'"{USER}"',
        "amount": '"57.16"',
        "currency": '"EUR"',
        "txn_date": f'"{DATE}"',
        "status": '"paid"',
    }
    shown = [f'"{name}":{value}' for name, value in {**usual, **changed}.items() if value is not None]
    return f"{{{','.join(shown)}}}".encode()


REFUSED: dict[str, tuple[bytes | None, bytes]] = {
    "size": (USER.encode(), b'"' + b"x" * 70_000 + b'"'),
    "json": (USER.encode(), b"{"),
    "key": (b"another", message()),
    "id": (USER.encode(), message(id=None)),
    "text": (USER.encode(), message(status=r'"\u0000"')),
    **{
        name: (USER.encode(), message(**{name: text}))
        for name, text in {
            "user_id": '"nobody"',
            "amount": '"-1"',
            "txn_date": '"2018-02-30T00:00:00Z"',
            "currency": '"EURO"',
            "status": f'"{"x" * 33}"',
            "meta_data": "7",
            "merchant_id": "7",
            "card_id": f'"{"x" * 65}"',
            "country": '"Utopia"',
            "channel": f'"{"x" * 33}"',
        }.items()
    },
}
"""By reason, a message's key and value that is refused for it."""
