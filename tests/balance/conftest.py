"""The same houses as for the tests of keys."""

from tests.keys.conftest import house, inhabited, opened

__all__ = ["house", "inhabited", "opened"]
