"""What is read from Postgres and Redis."""
