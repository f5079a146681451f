"""Refused messages: counted, looked at, sent again."""
