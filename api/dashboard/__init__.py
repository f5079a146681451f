"""The dashboard: one page, its files, and what it asks for beyond the other routes."""
