"""Mail: letters to people, how they look, and the one thread that hands them to the operator's mail server.

What a letter says is written in ``letters.py``. When one is due is decided in the rooms whose change it tells of.
"""
