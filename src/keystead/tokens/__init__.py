"""Tokens that are signed: access tokens, short-term tokens, the keys that sign them, and the published key sets.

An access token (RFC 9068) lives for minutes and is not stored. A short-term token lives for a day and has a row, so
that it can be taken back. Refresh tokens are not signed and belong to ``oauth``; API keys belong to ``keys``.
"""
