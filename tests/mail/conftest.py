"""What the tests of letters share: a mail server, and a mailer that uses it."""

from collections.abc import Iterator

import pytest

from tests.support.mail import PostOffice


@pytest.fixture
def post() -> Iterator[PostOffice]:
    """Give a mail server on this machine."""
    with PostOffice() as office:
        yield office
