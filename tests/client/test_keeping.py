"""Keeping a sign-in that Python made where every program finds it, and signing out again."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from keystead.client import (
    AsyncDeviceLogin,
    AsyncKeystead,
    DeviceCode,
    DeviceLogin,
    KeyringUnavailable,
    Keystead,
    NetworkError,
    SignedIn,
    SignInEnded,
    SignInRequired,
    StoreError,
    TokenSet,
    UsageError,
    refresh,
)
from tests.client.conftest import approve, noted
from tests.support.browser import Browser
from tests.support.cable import Cable
from tests.support.server import KeysteadServer

NO_KEYRING = "keyring.backends.fail.Keyring"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give the environment of a machine on which nobody is signed in, without a keyring."""
    ours = {"KEYSTEAD_CONFIG_DIR": str(tmp_path / "config"), "HOME": str(tmp_path)}
    return {**ours, "PYTHON_KEYRING_BACKEND": NO_KEYRING, "PATH": os.environ.get("PATH", os.defpath)}


def approved(login: DeviceLogin, ada: Browser) -> tuple[DeviceCode, TokenSet]:
    code = login.start()
    approve(ada, code)
    return code, noted(login.wait(code))


def kept(login: DeviceLogin, ada: Browser, environ: Mapping[str, str], **more: str | bool) -> SignedIn:
    code, tokens = approved(login, ada)
    return login.keep(code, tokens, environ=environ, **more)  # type: ignore[arg-type]


def test_a_sign_in_that_was_kept_is_found_by_every_program(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    signed_in = kept(DeviceLogin(shared_server.url), ada, environ)
    file = Path(environ["KEYSTEAD_CONFIG_DIR"]) / "credentials.json"
    assert signed_in.name == f"ada@{shared_server.url.removeprefix('http://')}"
    assert (signed_in.server, signed_in.username, signed_in.organization) == (shared_server.url, "ada", "acme")
    assert str(file) in signed_in.where
    assert [str(file) in notice for notice in signed_in.notices] == [True]
    assert file.stat().st_mode & 0o777 == 0o600
    with Keystead.from_env_or_store(environ=environ) as client:
        assert client.whoami().username == "ada"


def test_a_sign_in_of_another_name_is_not_chosen_unless_that_is_wanted(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    first = kept(DeviceLogin(shared_server.url, scopes=["apps:read"]), ada, environ)
    kept(DeviceLogin(shared_server.url, scopes=["keys:read"]), ada, environ, context="reports", select=False)
    content = json.loads((Path(environ["KEYSTEAD_CONFIG_DIR"]) / "credentials.json").read_text(encoding="utf-8"))
    assert content["current"] == first.name
    with Keystead.from_env_or_store(context="reports", environ=environ) as client:
        assert client.account.keys.list() is not None


def test_the_sign_in_that_is_replaced_is_taken_back_and_the_same_one_is_not(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    login = DeviceLogin(shared_server.url)
    code, tokens = approved(login, ada)
    login.keep(code, tokens, environ=environ)
    login.keep(code, tokens, environ=environ)
    assert tokens.refresh_token is not None
    refresh(shared_server.url, tokens.refresh_token, code.client_id)
    kept(login, ada, environ)
    with pytest.raises(SignInEnded):
        refresh(shared_server.url, tokens.refresh_token, code.client_id)


def test_what_cannot_be_kept_is_told_and_the_tokens_are_as_good_as_before(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    login = DeviceLogin(shared_server.url)
    code, tokens = approved(login, ada)
    with pytest.raises(KeyringUnavailable):
        login.keep(code, tokens, require_keyring=True, environ=environ)
    no_directory = Path(environ["HOME"]) / "file"
    no_directory.touch()
    with pytest.raises(StoreError):
        login.keep(code, tokens, environ={**environ, "KEYSTEAD_CONFIG_DIR": str(no_directory)})
    with Keystead.from_tokens(shared_server.url, tokens, client_id=code.client_id) as client:
        assert client.whoami().username == "ada"


def test_signing_out_ends_the_sign_in_on_the_server_and_then_here(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    login = DeviceLogin(shared_server.url)
    code, tokens = approved(login, ada)
    signed_in = login.keep(code, tokens, environ=environ)
    with Keystead.from_env_or_store(environ=environ) as client:
        done = client.sign_out()
    assert (done.name, done.revoked, done.refresh_token_until) == (signed_in.name, True, None)
    assert "Signed out" in done.sentence
    assert tokens.refresh_token is not None
    with pytest.raises(SignInEnded):
        refresh(shared_server.url, tokens.refresh_token, code.client_id)
    with pytest.raises(SignInRequired):
        Keystead.from_env_or_store(environ=environ)


def test_without_a_network_nothing_is_deleted_unless_that_is_forced(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    with Cable(int(shared_server.url.rpartition(":")[2])) as cable:
        login = DeviceLogin(f"http://127.0.0.1:{cable.port}")
        code, tokens = approved(login, ada)
        login.keep(code, tokens, environ=environ)
        cable.drop()
        with Keystead.from_env_or_store(environ=environ) as client:
            with pytest.raises(NetworkError, match="still signed in"):
                client.sign_out()
            done = client.sign_out(force=True)
    assert (done.revoked, done.refresh_token_until is not None) == (False, True)
    assert tokens.refresh_token is not None
    refresh(shared_server.url, tokens.refresh_token, code.client_id)


def test_tokens_that_were_not_stored_are_taken_back_too(ada: Browser, shared_server: KeysteadServer) -> None:
    code, tokens = approved(DeviceLogin(shared_server.url), ada)
    with Keystead.from_tokens(shared_server.url, tokens, client_id=code.client_id) as client:
        done = client.sign_out()
    assert (done.name, done.revoked, done.access_token_until) == ("", True, tokens.expires_at)
    assert tokens.refresh_token is not None
    with pytest.raises(SignInEnded):
        refresh(shared_server.url, tokens.refresh_token, code.client_id)


def test_a_key_of_the_environment_is_no_sign_in_to_end(shared_server: KeysteadServer) -> None:
    with (
        Keystead.from_env_or_store(api_key="pwt_x.y", server=shared_server.url) as client,
        pytest.raises(UsageError, match="no sign-in") as told,
    ):
        client.sign_out()
    assert "account.keys.delete" in told.value.hint


async def test_a_task_keeps_a_sign_in_and_ends_it(
    ada: Browser, shared_server: KeysteadServer, environ: dict[str, str]
) -> None:
    login = AsyncDeviceLogin(shared_server.url)
    code = await login.start()
    approve(ada, code)
    signed_in = await login.keep(code, noted(await login.wait(code)), environ=environ)
    async with AsyncKeystead.from_env_or_store(context=signed_in.name, environ=environ) as client:
        assert (await client.whoami()).username == "ada"
        assert (await client.sign_out()).revoked
    with pytest.raises(SignInRequired):
        AsyncKeystead.from_env_or_store(environ=environ)
