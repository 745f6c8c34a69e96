"""How hard Hypothesis tries, and the installation that its machines start from.

The whole folder takes well under a minute. On a build server the examples are the same each time; elsewhere they differ
from run to run, and one that fails is printed with the steps that lead to it.
"""

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.installation import Template, make_template

settings.register_profile(
    "keystead",
    max_examples=200,
    deadline=None,
    database=None,
    derandomize="CI" in os.environ,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("keystead")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Give the installation to copy from."""
    return make_template(tmp_path_factory.mktemp("template") / "installation")
