"""What an operator runs beside the worker."""
