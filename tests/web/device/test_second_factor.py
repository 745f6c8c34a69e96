"""An organization that asks for a second factor lets nobody approve a device who signed in without one."""

import pytest
from sqlalchemy import bindparam, update

from keystead.db import Command
from keystead.db.tables import organization, session
from keystead.kernel.scopes import Role
from keystead.services import Services
from tests.gate.serving import Furnished, ask, dump, in_process
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization
from tests.support.server import KeysteadServer
from tests.web.device.asking import at, consent, post, state

_REQUIRE = Command(
    update(organization)
    .where(organization.c.id == bindparam("organization_id"))
    .values(second_factor_required=bindparam("wanted"))
)
_PROVEN = Command(update(session).where(session.c.user_id == bindparam("user_id")).values(second_factor=1))


@pytest.fixture(scope="module")
def strict(site: KeysteadServer, furnished: Furnished) -> str:
    """Let globex, which bob joins, ask for a second factor, and give its id."""

    async def work(services: Services) -> None:
        await services.accounts.add_membership(furnished.bob, furnished.globex, Role.MEMBER)

    in_process(site.data, site.url, work)
    require(site, furnished.globex)
    return furnished.globex


def require(site: KeysteadServer, organization_id: str, *, wanted: int = 1) -> None:
    """Let an organization ask for a second factor from now on, without ending a session."""

    async def work(services: Services) -> None:
        await services.db.run(_REQUIRE, {"organization_id": organization_id, "wanted": wanted})

    in_process(site.data, site.url, work)


def prove(site: KeysteadServer, user_id: str) -> None:
    """Let somebody's sessions count as begun with a second factor."""

    async def work(services: Services) -> None:
        await services.db.run(_PROVEN, {"user_id": user_id})

    in_process(site.data, site.url, work)


def test_it_cannot_be_chosen_or_forged_until_a_second_factor_was_shown(
    site: KeysteadServer, furnished: Furnished, bob: Browser, strict: str, asked: DeviceAuthorization
) -> None:
    page = bob.get(at(asked.user_code))
    assert "Globex asks its members for a second factor, and you signed in without one." in page.words
    assert 'href="/settings/security"' in page.source
    assert f'value="{strict}" required disabled' in page.source
    assert f'value="{furnished.acme}" required>' in page.source
    form = {**consent(bob, asked), "decision": "approve", "organization": strict}
    before = dump(site.data)
    refused = post(bob, form)
    assert refused.status == 403
    assert "Globex asks its members for a second factor" in refused.words
    assert dump(site.data) == before
    prove(site, furnished.bob)
    assert "second factor" not in bob.get(at(asked.user_code)).words
    assert post(bob, form).status == 303
    assert state(site) == "approved"
    newest = "SELECT organization_id FROM device_authorization ORDER BY created_at DESC, id DESC LIMIT 1"
    assert ask(site.data, newest) == [strict]


def test_who_has_no_other_organization_can_only_refuse(
    site: KeysteadServer, furnished: Furnished, ada: Browser, asked: DeviceAuthorization
) -> None:
    require(site, furnished.acme)
    try:
        page = ada.get(at(asked.user_code))
        assert "Acme asks its members for a second factor" in page.words
        assert page.form("decision").values("decision") == ("deny",)
        assert page.form("decision").values("organization") == ()
        form = consent(ada, asked)
        assert post(ada, {**form, "decision": "approve", "organization": furnished.acme}).status == 403
        assert post(ada, {**form, "decision": "deny"}).status == 303
        assert state(site) == "denied"
    finally:
        require(site, furnished.acme, wanted=0)
