"""Who is listened to in the tests of live streams."""

from tests.support.rows import user

ALICE, BOB, CAROL = user(1), user(2), user(3)
PATH = f"/sse/transactions/{ALICE}"
FEED_WAIT = 500
"""How a feed's consumer is told from the others: by its wait in milliseconds."""
