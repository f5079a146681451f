"""Helpers that more than one test module uses; nothing here is a test."""
