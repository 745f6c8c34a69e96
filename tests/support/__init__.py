"""What several tests lean on: a real server as a process, a browser without a window, a stock device client.

Nothing here imports the server's own code. Tests see Keystead as others do: over HTTP and its command line.
"""
