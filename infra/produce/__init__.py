"""`txnwatch produce`: puts transactions from a file, or made-up ones, on the input topic."""
