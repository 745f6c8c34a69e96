"""What a decision leads to, and what each state of a sign-in shows afterwards (D8)."""

from contextlib import closing

import pytest

from tests.gate.serving import dump, open_database
from tests.support.browser import Browser
from tests.support.device import DeviceAuthorization, DeviceClient, error_of
from tests.support.server import ADA, KeysteadServer
from tests.web.device.asking import PAGE, at, consent, post, state


def test_approving_signs_the_device_in_and_says_so(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    page = ada.approve(asked.verification_uri_complete)
    assert (page.status, page.path) == (200, PAGE)
    for said in ("The device is signed in", "stock-client", "Acme", "ada@example.com"):
        assert said in page.words, said
    assert state(site) == "approved"
    assert client.poll(asked).status_code == 200


def test_refusing_tells_the_device_no_and_says_so(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    page = ada.deny(asked.verification_uri_complete)
    assert "You refused the device" in page.words
    assert state(site) == "denied"
    assert error_of(client.poll(asked))[0] == "access_denied"


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_after_the_decision_reloading_and_going_back_repeat_nothing(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization, decision: str
) -> None:
    form = {**consent(ada, asked), "decision": decision}
    answer = ada.request("POST", PAGE, form=list(form.items()))
    assert (answer.status_code, answer.headers["location"]) == (303, at(asked.user_code))
    decided = dump(site.data)
    reloaded = ada.get(at(asked.user_code))
    assert not any("decision" in found.names() for found in reloaded.forms)
    for again in ("approve", "deny"):
        sent_again = ada.request("POST", PAGE, form=list({**form, "decision": again}.items()))
        assert (sent_again.status_code, sent_again.headers["location"]) == (303, at(asked.user_code))
    assert ada.get(at(asked.user_code)).words == reloaded.words
    assert dump(site.data) == decided


def test_a_redeemed_sign_in_still_shows_its_owner_what_was_allowed(
    ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    ada.approve(asked.verification_uri_complete)
    client.poll_until_decided(asked)
    assert "The device is signed in" in ada.get(at(asked.user_code)).words


@pytest.mark.parametrize("decision", ["approve", "deny"])
def test_a_code_that_another_account_used_says_so_and_nothing_of_whose_it_was(
    ada: Browser, bob: Browser, asked: DeviceAuthorization, decision: str
) -> None:
    (ada.approve if decision == "approve" else ada.deny)(asked.verification_uri_complete)
    page = bob.get(at(asked.user_code))
    assert page.status == 409
    assert "This code has been used" in page.words
    assert not any(said in page.words for said in ("ada", "stock-client"))


def test_of_two_accounts_that_were_shown_a_code_the_second_changes_nothing(
    site: KeysteadServer, ada: Browser, bob: Browser, asked: DeviceAuthorization
) -> None:
    late = {**consent(bob, asked), "decision": "deny"}
    ada.approve(asked.verification_uri_complete)
    before = dump(site.data)
    assert post(bob, late).status == 303
    assert bob.get(at(asked.user_code)).status == 409
    assert dump(site.data) == before


@pytest.mark.sqlite
def test_an_expired_code_says_so_and_cannot_be_decided(
    site: KeysteadServer, ada: Browser, client: DeviceClient, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    with closing(open_database(site.data)) as database:
        database.execute("UPDATE device_authorization SET expires_at = created_at - 1 WHERE state = 'pending'")
    assert post(ada, form).status == 303
    page = ada.get(at(asked.user_code))
    assert page.status == 410
    assert "This code has ended" in page.words
    assert state(site) == "pending"
    assert error_of(client.poll(asked))[0] == "expired_token"


def test_the_other_browser_of_the_same_person_sees_the_outcome_but_cannot_use_the_first_ones_form(
    site: KeysteadServer, ada: Browser, asked: DeviceAuthorization
) -> None:
    form = {**consent(ada, asked), "decision": "approve"}
    with Browser(site.url) as other:
        other.sign_in(ADA.username, ADA.password)
        refused = post(other, form)
        assert (refused.status, "This page had been open too long" in refused.words) == (403, True)
        assert state(site) == "pending"
        ada.approve(asked.verification_uri_complete)
        assert "The device is signed in" in other.get(at(asked.user_code)).words
