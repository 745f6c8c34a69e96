"""The outer door (plain ASGI): every request passes here before any route sees it.

The gate judges the transport, reads the one credential, finds its principal through a cache that is never stale, and
writes the hottest answers itself. What a principal may do is decided by the routes (``wire.access``).
"""
