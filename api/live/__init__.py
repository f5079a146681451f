"""The live feeds."""
