"""An organization that lets nobody in with a password, or no device at all, is not chosen; the page says why."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import bindparam, delete, insert, update

from keystead.db import Command
from keystead.db.tables import NO_POLICIES, organization, platform_policy, session
from keystead.kernel.scopes import Role
from keystead.services import Services
from tests.gate.serving import Furnished, dump, in_process
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization
from tests.support.server import KeysteadServer
from tests.web.device.asking import at, consent, post, state

PASSWORD_OFF = "password_sign_in_off"
DEVICES_OFF = "device_sign_in_off"
SENTENCES = {
    PASSWORD_OFF: "Globex lets nobody sign in with a password, and you signed in with one.",
    DEVICES_OFF: "Globex lets nobody sign a device in.",
}
_OF_USER = update(session).where(session.c.user_id == bindparam("person"))
BY_PASSKEY = Command(_OF_USER.values(second_factor=1, password=0))
BY_PASSWORD = Command(_OF_USER.values(second_factor=0, password=1))


@contextmanager
def asks(site: KeysteadServer, policy: str, organization_id: str | None = None) -> Iterator[None]:
    """Let an organization, or without its id the whole installation, have a policy for a while."""

    def run(command: Command) -> None:
        async def work(services: Services) -> None:
            await services.db.run(command, {})

        in_process(site.data, site.url, work)

    if organization_id is None:
        on = Command(insert(platform_policy).values(**{**NO_POLICIES, "id": 1, policy: 1}))
        off = Command(delete(platform_policy))
    else:
        one = update(organization).where(organization.c.id == organization_id)
        on, off = Command(one.values(**{policy: 1})), Command(one.values(**{policy: 0}))
    run(on)
    try:
        yield
    finally:
        run(off)


def session_of(site: KeysteadServer, user_id: str, command: Command) -> None:
    """Let somebody's sessions count as begun in another way."""

    async def work(services: Services) -> None:
        await services.db.run(command, {"person": user_id})

    in_process(site.data, site.url, work)


@pytest.fixture(scope="module")
def joined(site: KeysteadServer, furnished: Furnished) -> None:
    """Let bob join globex."""

    async def work(services: Services) -> None:
        await services.accounts.add_membership(furnished.bob, furnished.globex, Role.MEMBER)

    in_process(site.data, site.url, work)


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("policy", [PASSWORD_OFF, DEVICES_OFF])
def test_it_cannot_be_chosen_or_forged_and_the_page_says_why_and_what_to_do(
    site: KeysteadServer, furnished: Furnished, bob: Browser, asked: DeviceAuthorization, policy: str
) -> None:
    with asks(site, policy, furnished.globex):
        page = bob.get(at(asked.user_code))
        assert SENTENCES[policy] in page.words
        told = {PASSWORD_OFF: "Add a passkey under Security", DEVICES_OFF: "Use an API key for the program instead"}
        assert told[policy] in page.words
        assert f'value="{furnished.globex}" required disabled' in page.source
        assert f'value="{furnished.acme}" required>' in page.source
        form = {**consent(bob, asked), "decision": "approve", "organization": furnished.globex}
        before = dump(site.data)
        refused = post(bob, form)
        assert (refused.status, SENTENCES[policy] in refused.words) == (403, True)
        assert dump(site.data) == before
        assert post(bob, {**form, "organization": furnished.acme}).status == 303
    assert state(site) == "approved"


@pytest.mark.usefixtures("joined")
def test_a_session_that_was_begun_with_a_passkey_is_let_in_where_no_password_is(
    site: KeysteadServer, furnished: Furnished, bob: Browser, asked: DeviceAuthorization
) -> None:
    session_of(site, furnished.bob, BY_PASSKEY)
    try:
        with asks(site, PASSWORD_OFF, furnished.globex):
            assert SENTENCES[PASSWORD_OFF] not in bob.get(at(asked.user_code)).words
            form = {**consent(bob, asked), "decision": "approve", "organization": furnished.globex}
            assert post(bob, form).status == 303
    finally:
        session_of(site, furnished.bob, BY_PASSWORD)
    assert state(site) == "approved"


@pytest.mark.parametrize("policy", [PASSWORD_OFF, DEVICES_OFF])
def test_what_the_whole_installation_asks_leaves_refusing_alone(
    site: KeysteadServer, furnished: Furnished, ada: Browser, asked: DeviceAuthorization, policy: str
) -> None:
    with asks(site, policy):
        page = ada.get(at(asked.user_code))
        assert SENTENCES[policy].replace("Globex", "Acme") in page.words
        assert page.form("decision").values("decision") == ("deny",)
        form = consent(ada, asked)
        assert post(ada, {**form, "decision": "approve", "organization": furnished.acme}).status == 403
        assert post(ada, {**form, "decision": "deny"}).status == 303
    assert state(site) == "denied"
