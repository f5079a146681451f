"""The aiohttp service: range queries, live feeds and documentation."""
