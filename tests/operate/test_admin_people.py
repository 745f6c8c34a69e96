"""The operator lets people in: by invitations and links to new passwords, and after they have lost everything (W7)."""

from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pyotp
import pytest
from sqlalchemy import select

from keystead.audit.models import AuditEvent
from keystead.db import Query
from keystead.db.tables import audit_event
from keystead.operate.installation import run
from keystead.services import Services
from tests.support import issued
from tests.support.browser import Browser
from tests.support.mail import PostOffice
from tests.support.pages import BrowserError, Page
from tests.support.processes import free_port
from tests.support.server import ADA, BOB, KeysteadServer, ServerError, add_acme

NEW: Final = "a different lake, long after dawn"
EVENTS: Final = Query(select(audit_event).order_by(audit_event.c.at, audit_event.c.id), AuditEvent)


def link_of(server: KeysteadServer, *command: str) -> str:
    """Run a command that prints a link to the server, and return its path."""
    printed = server.admin(*command)
    assert printed.startswith(server.url + "/")
    assert len(printed.splitlines()) == 1
    path = urlsplit(printed).path
    issued.note(path.rpartition("/")[2].rpartition(".")[2])
    return path


def add_authenticator(server: KeysteadServer, user_id: str) -> tuple[str, ...]:
    """Give a user an authenticator app, and return the recovery codes."""

    async def work(services: Services) -> tuple[str, ...]:
        new = services.factors.new_totp(user_id, "ada")
        codes = await services.factors.add_totp(user_id, new.sealed, pyotp.TOTP(new.secret.reveal()).now())
        return tuple(code.reveal() for code in codes)

    return run(server.data, work)


def events(server: KeysteadServer, target: str) -> list[str]:
    """Return the types of the audit events about somebody, the oldest first."""
    found: list[AuditEvent] = run(server.data, lambda services: services.db.all(EVENTS, {}))
    return [event.type for event in found if event.target == target]


def choose(browser: Browser, path: str, password: str) -> Page:
    """Choose a new password by a link."""
    issued.note(password)
    page = browser.get(path)
    return browser.submit(page, page.form("password"), {"password": password})


def test_somebody_who_has_lost_everything_is_let_in_again(tmp_path: Path) -> None:
    with PostOffice() as post, KeysteadServer(tmp_path, post.environment) as server:
        ada = add_acme(server).ada
        with Browser(server.url) as thief, Browser(server.url) as browser:
            thief.sign_in(ADA.username, ADA.password)
            add_authenticator(server, ada)
            with pytest.raises(BrowserError, match="no session"):  # the code is asked for, and the phone is gone
                browser.sign_in(ADA.username, ADA.password)
            assert urlsplit(thief.get("/settings").url).path == "/settings"
            path = link_of(server, "recover", "--user", ADA.username)
            assert urlsplit(thief.get("/settings").url).path == "/sign-in"  # before there is a new password
            choose(browser, path, NEW)
            browser.sign_in(ADA.username, NEW)
            assert "ada" in browser.get("/settings").words
            assert urlsplit(thief.get("/settings").url).path == "/sign-in"
        told = post.wait_for(ADA.email)
        recorded = events(server, ada)
    assert "removed by an operator" in " ".join(told.text.split())
    assert [one for one in recorded if one in {"second-factor:remove-all", "user:reset-link"}] == [
        "second-factor:remove-all",
        "user:reset-link",
    ]


def test_a_link_to_a_new_password_works_once_and_changes_no_second_factor(server: KeysteadServer) -> None:
    bob = add_acme(server).bob
    add_authenticator(server, bob)
    path = link_of(server, "reset-link", "--user", BOB.email)
    with Browser(server.url) as browser:
        choose(browser, path, NEW)
        again = browser.get(path)
        with pytest.raises(BrowserError, match="no session"):
            browser.sign_in(BOB.username, NEW)
    assert again.status == 404
    assert "user:reset-link" in events(server, bob)
    assert "second-factor:remove-all" not in events(server, bob)


def test_an_invitation_from_the_host_makes_an_account_with_its_role(server: KeysteadServer) -> None:
    server.admin("create-org", "--name", "acme")
    path = link_of(server, "invite", "--org", "acme", "--email", "eve@example.com", "--role", "owner")
    with Browser(server.url) as browser:
        page = browser.get(path)
        issued.note(NEW)
        answers = {"username": "eve", "name": "Eve", "password": NEW}
        browser.submit(page, page.form(*answers), answers)
        browser.sign_in("eve", NEW)
        words = browser.get("/settings/organization/members").words
    assert "eve@example.com" in words
    assert "owner" in words.lower()


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("recover", "--user", "eve"), "There is no user called 'eve'."),
        (("reset-link", "--user", "eve"), "There is no user called 'eve'."),
        (("invite", "--org", "evil", "--email", "eve@example.com"), "There is no organization called 'evil'."),
        (("invite", "--org", "acme", "--email", "eve"), "The e-mail address must look like name@example.com."),
        (("invite", "--org", "acme", "--email", ADA.email), "is a member of this organization already."),
        (("send-test-mail", "--to", ADA.email), "Set KEYSTEAD_SMTP_URL and KEYSTEAD_MAIL_FROM."),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    shared_server: KeysteadServer, acme: Any, command: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(ServerError) as refusal:
        shared_server.admin(*command)
    assert acme is not None
    assert f"{sentence}\n" in f"{refusal.value}\n"
    assert "ended with code 1" in str(refusal.value)
    assert "Traceback" not in str(refusal.value)


def test_somebody_who_is_disabled_gets_no_link(server: KeysteadServer) -> None:
    acme = add_acme(server)
    run(server.data, lambda services: _disable(services, acme.bob))
    with pytest.raises(ServerError, match=r"The user 'bob' is disabled\. Enable them first"):
        server.admin("recover", "--user", "bob")
    assert "second-factor:remove-all" not in events(server, acme.bob)


async def _disable(services: Services, user_id: str) -> None:
    await services.accounts.create_user(
        username="root", email="root@example.com", organization="acme", platform_admin=True
    )
    identity = await services.accounts.first_identity("root")
    await services.organizations.disable_user(_operator(identity), user_id)


def _operator(identity: Any) -> Any:
    from keystead.kernel.principal import Method, Principal

    return Principal(identity, Method.SESSION, frozenset(), "session", None)


def test_a_letter_is_sent_to_try_the_mail_server(tmp_path: Path) -> None:
    with PostOffice() as post:
        server = KeysteadServer(tmp_path, {**post.environment, "KEYSTEAD_PRODUCT_NAME": "Acme Keys"})
        printed = server.admin("send-test-mail", "--to", ADA.email)
        (letter,) = post.letters_to(ADA.email)
    assert printed == ""
    assert letter.subject == "Acme Keys can send e-mail"


def test_a_mail_server_that_is_away_is_told_in_a_sentence(tmp_path: Path) -> None:
    port = free_port()
    settings = {"KEYSTEAD_SMTP_URL": f"smtp://127.0.0.1:{port}", "KEYSTEAD_MAIL_FROM": "desk@example.com"}
    with pytest.raises(ServerError) as refusal:
        KeysteadServer(tmp_path, settings).admin("send-test-mail", "--to", ADA.email)
    assert f"Standard error: The mail server 127.0.0.1:{port} cannot be reached: Connection refused.\n" in str(
        refusal.value
    )
