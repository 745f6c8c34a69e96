"""Who belongs to an organization and what it asks of them: members, invitations, policies, and what operators manage.

The records of users, organizations and memberships are made in ``accounts``. What somebody has who is removed, and what
no longer fits a policy, is ended by the room that made it: ``sessions``, ``tokens``, ``keys`` and ``oauth``.
"""
