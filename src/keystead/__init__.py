"""Keystead, the sign-in desk of a company that sells an API.

``kernel`` holds the shared words, ``db`` the storage, and each feature has a room of its own; ``app`` wires them
together. ``docs/architecture.md`` is the map.
"""

__version__ = "0.1.0"
