"""Protocols: bytes -> `Request`, `Answer` -> bytes, and errors in each one's own words.

One file a protocol; each offers `routes(context) -> list[Route]`. They know neither sockets nor
threads: `http` hands them a `Call`, and they ask the service.
"""
