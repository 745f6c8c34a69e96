"""Accounts: users, organizations, memberships and passwords.

Who may sign in with a password, and as whom they act, is decided here. What a sign-in leaves behind, a session, lives
in ``keystead.sessions``; so does the use case that changes a password, because it ends the person's sessions.
"""
