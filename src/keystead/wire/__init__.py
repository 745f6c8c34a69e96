"""What every room's routes share: who is calling, how forms are read, and how problems are answered.

Nothing here knows a feature. ``gate`` fills in the caller; the rooms' ``routes.py`` ask ``access`` for the principal.
"""
