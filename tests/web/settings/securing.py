"""What a person does on the pages of security: adding factors, filling in forms, and what is there afterwards."""

import html
import re
from typing import Any, Final

import pyotp

from keystead.kernel.secrets import Secret
from keystead.web.settings.second_factors import PATH
from tests.account.nodes import PASSWORD, Node
from tests.factors.authenticator import Authenticator
from tests.support.engine import execute
from tests.support.pages import Page
from tests.web.settings.visiting import Visit, form_to

NEW_PASSKEY: Final = f"{PATH}/passkeys/new"
PASSKEYS: Final = f"{PATH}/passkeys"
NEW_APP: Final = f"{PATH}/totp/new"
REMOVE_APP: Final = f"{PATH}/totp/remove"
NEW_CODES: Final = f"{PATH}/recovery-codes/new"
CODE: Final = re.compile(r"<li>([2-9A-Z]{4}-[2-9A-Z]{4}-[2-9A-Z]{4})</li>")


async def fill(person: Visit, page: Page, action: str, **answers: str) -> Page:
    """Fill in the form of a page that goes to ``action``, with the password unless another is given."""
    form = form_to(page, action)
    known = {"current_password": PASSWORD, **answers}
    return await person.post(action, dict(form.filled({k: v for k, v in known.items() if k in form.names()})))


def options_in(page: Page) -> str:
    """Return what the page's script asks the browser with."""
    found = re.search(r'data-passkey-create="([^"]+)"', page.source)
    assert found is not None, page.words
    return html.unescape(found[1])


async def add_passkey(person: Visit, authenticator: Authenticator, name: str = "This laptop") -> Page:
    """Add a passkey as a person does, and return the page that follows."""
    page = await fill(person, await person.get(NEW_PASSKEY), NEW_PASSKEY, name=name)
    return await send_answer(person, page, authenticator.create(options_in(page)))


async def send_answer(person: Visit, page: Page, answer: str) -> Page:
    """Send the form of a page as its script does, with what the browser answered."""
    return await person.post(PASSKEYS, {**dict(form_to(page, PASSKEYS).filled({})), "answer": answer})


async def add_app(person: Visit) -> Page:
    """Set up an authenticator app as a person does, and return the page that follows."""
    page = await person.get(NEW_APP)
    return await fill(person, page, NEW_APP, code=code_on(page, person.node.house.clock.now()))


def code_on(page: Page, at: int) -> str:
    """Return the code that an app shows which was given the key on the page."""
    found = re.search(r'id="key"[^>]*>([A-Z2-7 ]+)<', page.source)
    assert found is not None, page.words
    return pyotp.TOTP(found[1].replace(" ", "")).at(at)


async def proved(node: Node, person: Visit) -> int:
    """Return whether a session counts as begun with a second factor."""
    principal = await node.house.services.sessions.find(person.cookie)
    assert principal is not None

    async def work(tx: Any) -> bool:
        return await node.house.services.sessions.begun_with_second_factor(tx, principal)

    return int(await node.house.db.write(work))


async def summary(node: Node) -> Any:
    """Return ada's second factors."""
    return await node.house.services.factors.summary(node.house.ada.id)


async def right_password(node: Node, password: str) -> bool:
    """Tell whether this is ada's password."""
    accounts = node.house.services.accounts
    return await accounts.password_is_right(await accounts.user_by_name("ada"), Secret(password))


async def without_password(node: Node) -> None:
    """Take ada's password away, as if she had never had one."""
    gone = f"UPDATE \"user\" SET password_hash = NULL WHERE id = '{node.house.ada.id}'"  # noqa: S608 - an id of ours
    execute(node.house.directory, sqlite=[gone], postgres=[gone])
