"""The whole application within this process, with its people."""

from tests.web.organization.conftest import Open, here, house, opened, template

__all__ = ["Open", "here", "house", "opened", "template"]
