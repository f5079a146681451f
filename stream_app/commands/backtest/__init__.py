"""`txnwatch backtest`: what a detector would have done with a history, by the worker's own code."""
