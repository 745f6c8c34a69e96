"""Second factors: authenticator apps (RFC 6238), passkeys (W3C Web Authentication) and the recovery codes beside them.

Here a factor is added, used and removed. When one is asked for, and what a sign-in is worth, is for
``keystead.sessions`` to say; it uses a factor within its own transaction, so that a code is good once (promise W7).
"""
