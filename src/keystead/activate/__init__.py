"""The ACTIVATE API, as parallelworks-client calls it: names and shapes in front of the services that all surfaces use.

A module serves one group of addresses: it reads a request, calls a service, and writes the answer in the shape that the
SDK parses. What may be done, and to whom, is decided by the services.
"""
