"""Users' windows on this machine, and how they come back from the changelog."""
