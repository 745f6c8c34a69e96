"""The shared vocabulary of Keystead, without any input or output.

Here live the clock, ids, secret formats and their checksums, scopes, the principal, permissions, problems and settings:
pure values that every room may import. Storage lives in ``keystead.db``; each feature lives in a room of its own.
"""
