"""Fault runs: workers under load, what happens to them, and what has to hold afterwards."""
