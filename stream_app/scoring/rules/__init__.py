"""Checked rule sets at work: compiled, with their lists and suppressions."""
