"""Apps and API keys: making them, knowing a key again, listing, deleting, and noting when a key was used or exposed.

An app is a named group of keys in an organization. A key is stored as a keyed hash with a hint; its text leaves this
room once, in the answer to its creation. Parsing it out of a request and caching it belong to ``keystead.gate``.
"""
