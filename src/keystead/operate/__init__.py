"""What an operator runs on the host: the server, the admin commands, the doctor.

The command line imports these by name when they are run. Everything they do goes through the rooms' services.
"""
