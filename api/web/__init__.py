"""Our thin layer over aiohttp: parameters, problems, OpenAPI."""
