"""What several tests lean on: a real server as a process, a browser without a window, a stock device client,
and other people's servers: PostgreSQL, Valkey or Redis, nginx.

But for ``installation``, which builds the services themselves, nothing here imports the server's own code: tests see
Keystead as others do, over HTTP and its command line.
"""
