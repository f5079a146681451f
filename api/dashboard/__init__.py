"""The dashboard: one page, its files, and what it alone asks for. Times are milliseconds since 1970, UTC."""
