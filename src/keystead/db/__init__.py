"""Storage: the tables and their migrations, compiled statements, the SQLite engine, the revocation feed.

SQLAlchemy Core is the language in which tables and statements are written; the native driver runs them. What the
statements mean belongs to the rooms: each keeps its own in ``store.py``.
"""

from keystead.db.engine import Database, DatabaseError, Transaction, UniqueViolation
from keystead.db.statements import Command, Query, insert_into, upsert

__all__ = ["Command", "Database", "DatabaseError", "Query", "Transaction", "UniqueViolation", "insert_into", "upsert"]
