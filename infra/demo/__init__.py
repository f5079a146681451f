"""`txnwatch demo`: everything on this machine, fed and watched."""

import infra.embedded  # noqa: F401 - says what is missing where its extra is not installed
