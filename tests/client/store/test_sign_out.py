"""Signing out: revoked first, deleted then, and the truth when that could not be done (promise V6)."""

import json
from typing import NoReturn

import pytest

from keystead.client._credentials import StoredCredential
from keystead.client._errors import NetworkError, RateLimited, SignInEnded, SignInRequired, StoreError
from keystead.client._sign_out import shown, sign_out
from keystead.client._store import Store
from keystead.kernel.secrets import Secret
from tests.client.store.conftest import Desk, environment
from tests.client.store.refreshing import refresh
from tests.support.calls import Line


def over_the_line(server: str, refresh_token: Secret) -> None:
    """Take a refresh token back."""
    with Line(server) as line:
        assert line.revoke(refresh_token.reveal()).status == 200


def offline(server: str, refresh_token: Secret) -> NoReturn:
    """Fail as a machine without a network does."""
    raise NetworkError(f"{server} cannot be reached.")


def test_a_sign_out_revokes_on_the_server_and_then_deletes_here(desk: Desk) -> None:
    token = Secret(desk.refresh_token())
    store = desk.open()
    was = store.context(desk.name)
    order: list[str] = []

    def revoke(server: str, refresh_token: Secret) -> None:
        order.append("still here" if desk.name in (desk.directory / "credentials.json").read_text() else "gone")
        over_the_line(server, refresh_token)

    done = sign_out(store, desk.name, revoke)
    assert order == ["still here"]
    assert (done.revoked, done.refresh_token_until) == (True, None)
    assert shown(was.access_token_expires_at) in done.sentence
    assert store.contexts() == ()
    with pytest.raises(SignInEnded):
        refresh(desk.proxy.url, token, desk.sign_in.client_id)


def test_offline_nothing_is_deleted_and_it_is_said_what_stays_valid_until_when(desk: Desk) -> None:
    store = desk.open()
    before = (desk.directory / "credentials.json").read_bytes()
    context = store.context(desk.name)
    with pytest.raises(NetworkError, match="You are still signed in") as told:
        sign_out(store, desk.name, offline)
    assert shown(context.valid_until) in str(told.value)
    assert shown(context.access_token_expires_at) in str(told.value)
    assert "--local" in told.value.hint
    assert (desk.directory / "credentials.json").read_bytes() == before
    assert desk.credential().ready() is not None


def test_offline_and_forced_it_is_deleted_here_and_said_what_stays_valid_until_when(desk: Desk) -> None:
    store = desk.open()
    context = store.context(desk.name)
    done = sign_out(store, desk.name, offline, force=True)
    assert (done.revoked, done.refresh_token_until) == (False, context.valid_until)
    assert "not revoked on the server" in done.sentence
    assert shown(context.valid_until) in done.sentence
    assert store.contexts() == ()


def test_a_server_that_is_too_busy_to_revoke_deletes_nothing(desk: Desk) -> None:
    def busy(server: str, refresh_token: Secret) -> NoReturn:
        raise RateLimited("Too often.", status=429, code="rate_limited")

    with pytest.raises(NetworkError, match="Too often"):
        sign_out(desk.open(), desk.name, busy)
    assert desk.credential().ready() is not None


def test_a_keyring_that_cannot_be_read_stops_a_sign_out_unless_forced(desk: Desk) -> None:
    content = json.loads((desk.directory / "credentials.json").read_text())
    content["contexts"][desk.name]["store"] = "keyring"
    (desk.directory / "credentials.json").write_text(json.dumps(content))
    store = Store.open(desk.directory, environ=environment(desk.home, "fake_keyrings.Locked"))
    with pytest.raises(StoreError, match="it is locked"):
        sign_out(store, desk.name, over_the_line)
    assert len(store.contexts()) == 1
    assert not sign_out(store, desk.name, over_the_line, force=True).revoked
    assert store.contexts() == ()


def test_a_sign_out_of_nobody_is_told(desk: Desk) -> None:
    with pytest.raises(SignInRequired):
        sign_out(desk.open(), "nobody", over_the_line)
    assert len(desk.open().contexts()) == 1


def test_the_current_sign_in_is_signed_out_when_none_is_named(desk: Desk) -> None:
    assert sign_out(desk.open(), None, over_the_line).name == desk.name
    with pytest.raises(SignInRequired, match="Nobody is signed in"):
        StoredCredential(desk.open(), None, refresh)
