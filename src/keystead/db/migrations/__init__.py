"""Migrations, one file for each step, applied by ``keystead.db.migrate``; Alembic keeps the order."""
