"""The same houses as for the tests of accounts."""

from tests.accounts.conftest import _empty, house, opened

__all__ = ["_empty", "house", "opened"]
