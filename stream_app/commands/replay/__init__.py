"""`txnwatch replay`: what was scored is scored again, by what was decided then, and compared."""
