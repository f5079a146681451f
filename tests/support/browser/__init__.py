"""The system's Chromium, and an installation for it to look at."""
