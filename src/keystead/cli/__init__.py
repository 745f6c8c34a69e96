"""The command ``keystead``: a thin skin that loads a command only when it is run.

The server's own commands live in ``keystead.operate`` and need the extra ``keystead[server]``; they are named here, and
imported by name when somebody asks for them, so that the command line stays small and quick.
"""
