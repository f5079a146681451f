"""The months of the transactions table: made ahead, filled from the default partition, dropped when old."""
