"""Alembic's entry: it runs the steps on the connection that ``keystead.db.migrate`` hands over."""

from alembic import context

from keystead.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=context.config.attributes["connection"].dialect.name == "sqlite",
)
context.run_migrations()
