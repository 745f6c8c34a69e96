"""Device sign-in: clients that register themselves, device authorizations, grants and their refresh tokens (RFC 8628).

The page on which a person decides lives in ``web``; access tokens are made in ``tokens``; the apps and API keys that a
command line makes afterwards live in ``keys``.
"""
