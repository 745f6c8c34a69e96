"""The SDK as a program has it: over https, with the cookie jar it comes with, and nothing carried for it by hand.

Elsewhere the tests carry cookies themselves, because Python's jars send no Secure cookie over plain HTTP.
"""

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyotp
import pytest
from parallelworks_client.api.authentication import (
    get_auth_session,
    get_mfa_settings,
    post_logout,
    post_password_login,
    post_webauthn_auth_options,
)
from parallelworks_client.models.password_login_input_body import PasswordLoginInputBody

from keystead.kernel.clock import SystemClock
from tests.factors.authenticator import Authenticator
from tests.interop.activate import sdk
from tests.interop.activate.calls import function, second_factor
from tests.interop.activate.newcomers import begin_app, begin_passkey, confirm, show
from tests.interop.activate.sdk import Sdk
from tests.support import issued
from tests.support.nginx import NginxProxy
from tests.support.processes import free_port
from tests.support.server import ADA, BOB, KeysteadServer, Person, add_acme

post_mfa_login: Final = function("authentication.post_mfa_login")


@pytest.fixture
def program(tmp_path: Path, new_nginx: Callable[..., NginxProxy]) -> Iterator[Sdk]:
    """Give the SDK without a credential, at a server behind a proxy that speaks TLS."""
    port = free_port()
    proxy = new_nginx([f"http://127.0.0.1:{port}"])
    url = f"https://localhost:{proxy.tls_port}"
    settings = {"KEYSTEAD_PUBLIC_URL": url, "KEYSTEAD_TRUSTED_PROXIES": "127.0.0.1"}
    with KeysteadServer(tmp_path / "keystead", settings, port=port) as server:
        add_acme(server)
        client = sdk.anonymous(url, verify_ssl=ssl.create_default_context(cafile=str(proxy.certificate)))
        with sdk.closing(client):
            yield client


def password(client: Sdk, person: Person) -> Any:
    """Show somebody's password, and return the answer."""
    shown = PasswordLoginInputBody(username=person.username, password=person.password)
    return post_password_login.sync_detailed(client=client, body=shown)


def second(client: Sdk, method: str, **values: Any) -> int:
    """Show a second factor, and return the status."""
    return int(post_mfa_login.sync_detailed(client=client, body=second_factor(method, **values)).status_code)


def note_codes(done: Any) -> None:
    """Note the recovery codes that come with the first factor."""
    assert done.status_code == 200, done.content
    for code in json.loads(done.content)["recoveryCodes"]:
        issued.note(code)


def test_an_app_is_added_and_asked_for_with_the_jar_alone(program: Sdk) -> None:
    assert password(program, ADA).status_code == 204
    secret, _ = begin_app(program)
    app = pyotp.TOTP(secret)
    note_codes(confirm(program, app.now()))
    sdk.good(post_logout, program)
    sdk.bad(get_auth_session, program, 401)

    assert password(program, ADA).parsed.code == "second_factor_required"
    sdk.bad(get_auth_session, program, 401)
    assert second(program, "otp", code=app.at(SystemClock().now() + 30)) == 204
    assert sdk.good(get_auth_session, program).username == ADA.username


def test_a_passkey_is_added_and_asked_for_with_the_jar_alone(program: Sdk) -> None:
    key = Authenticator(str(program.get_httpx_client().base_url).rstrip("/"))
    assert password(program, BOB).status_code == 204
    asked, _ = begin_passkey(program)
    note_codes(show(program, json.loads(key.create(json.dumps(asked))), "Key"))
    assert [one.name for one in sdk.good(get_mfa_settings, program).mfa_settings] == ["Key"]
    sdk.good(post_logout, program)

    assert password(program, BOB).parsed.code == "second_factor_required"
    question = sdk.good(post_webauthn_auth_options, program).options.public_key
    assert second(program, "webauthn", **json.loads(key.get(json.dumps(question.to_dict())))) == 204
    assert sdk.good(get_auth_session, program).username == BOB.username
