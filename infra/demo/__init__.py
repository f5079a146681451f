"""`txnwatch demo`: everything on this machine, fed and watched."""
