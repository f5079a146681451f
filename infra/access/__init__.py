"""Accounts of people, tokens of programs, and sessions, in Postgres."""
