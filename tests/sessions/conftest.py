"""The same houses as for the tests of accounts."""

from tests.accounts.conftest import _empty, anyio_backend, house, opened

__all__ = ["_empty", "anyio_backend", "house", "opened"]
