"""What of Faust is replaced, and why."""
