"""The same houses as for the tests of keys."""

from tests.keys.conftest import anyio_backend, house, inhabited, opened

__all__ = ["anyio_backend", "house", "inhabited", "opened"]
