"""The entrance: the pages by which people come in.

Signing in, in one step or in several; a forgotten password; signing up; an invitation; and going over to another
organization. What they do is done by ``sessions`` and ``organizations``.
"""
