"""What is decided by people: rule sets, from files."""
