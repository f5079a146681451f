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
