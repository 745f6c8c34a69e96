"""Letters reach the mail server over a connection that nobody reads; what cannot be sent is told in a sentence."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import SecretStr

from keystead.kernel.settings import Settings
from keystead.mail import letters
from keystead.mail.models import Letter, MailError
from keystead.mail.service import Mailer
from tests.support.mail import NAME, SENDER, PostOffice
from tests.support.processes import free_port

ADA: Final = "ada@example.com"
LINK: Final = "https://auth.example.com/reset?token=" + "a1B2" * 11
RESET: Final = letters.password_reset("Acme", ADA, LINK, 30)
ACCOUNT: Final = {"keystead@example.com": "a päss:word/with@signs"}


def mailer(url: str, **options: Any) -> Mailer:
    settings = Settings(smtp_url=SecretStr(url), mail_from=SENDER, product_name="Acme")
    return Mailer(settings=settings, pauses=(0.01, 0.02), **options)


async def sent(url: str, letter: Letter = RESET) -> None:
    one = mailer(url)
    try:
        await one.send(letter)
    finally:
        await one.aclose()


async def refusal(url: str, letter: Letter = RESET) -> MailError:
    """Return why a letter could not be sent; its text tells neither the receiver nor the link nor the password."""
    with pytest.raises(MailError) as found:
        await sent(url, letter)
    for secret in (ADA, LINK, "a1B2a1B2a1B2", *ACCOUNT.values(), "wrong"):
        assert secret not in str(found.value)
    return found.value


async def test_a_letter_arrives_at_the_mail_server(post: PostOffice) -> None:
    await sent(post.url)
    (letter,) = post.letters_to(ADA)
    assert letter.sender == SENDER
    assert letter.link == LINK
    assert str(letter.message["From"]) == f"Acme <{SENDER}>"


async def test_a_server_elsewhere_gets_letters_over_starttls_with_a_certificate_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostOffice(tmp_path, tls="starttls", accounts=ACCOUNT) as post, post.found_by_name():
        monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
        await sent(post.url_at(NAME))
        assert len(post.letters_to(ADA)) == 1


async def test_smtps_begins_with_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostOffice(tmp_path, tls="from the start", accounts=ACCOUNT) as post:
        monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
        await sent(post.url)
        assert len(post.letters_to(ADA)) == 1


@pytest.mark.parametrize("tls", ["starttls", "from the start"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, tls: Any) -> None:
    with PostOffice(tmp_path, tls=tls) as post, post.found_by_name():
        found = await refusal(post.url_at(NAME))
        assert str(found).startswith(f"The certificate of the mail server {NAME}:{post.port} is not trusted: self")
        assert post.all_letters == []
        assert not found.temporary


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PostOffice(tmp_path, tls="from the start") as post:
        monkeypatch.setenv("SSL_CERT_FILE", str(post.certificate))
        found = await refusal(post.url_at("localhost"))
        assert "is not trusted" in str(found)
        assert post.all_letters == []


async def test_nothing_is_sent_in_the_clear_to_a_server_elsewhere() -> None:
    with PostOffice() as post, post.found_by_name():
        found = await refusal(post.url_at(NAME))
        assert post.all_letters == []
    assert str(found) == (
        f"The mail server {NAME}:{post.port} does not offer STARTTLS, and e-mail is not sent in the clear. Turn "
        "STARTTLS on there, or use its port for TLS with smtps://."
    )


async def test_no_password_is_said_before_the_connection_is_secret() -> None:
    with PostOffice(accounts=ACCOUNT) as post, post.found_by_name():
        await refusal(post.url_at(NAME))
        assert post.sign_ins == 0


@pytest.mark.parametrize("without", [[], ["PLAIN"]])
async def test_user_and_password_may_hold_any_character(without: list[str]) -> None:
    with PostOffice(accounts=ACCOUNT, without=without) as post:
        await sent(post.url)
        assert len(post.letters_to(ADA)) == 1
        assert post.sign_ins == 1


async def test_a_server_that_takes_no_password_is_told_as_such() -> None:
    with PostOffice(accounts=ACCOUNT, without=["PLAIN", "LOGIN"]) as post:
        found = await refusal(post.url)
    assert "does not offer what this letter needs: signing in with a password" in str(found)


async def test_a_wrong_password_is_told_as_such_and_not_tried_again() -> None:
    with PostOffice(accounts=ACCOUNT) as post:
        found = await refusal(f"smtp://keystead%40example.com:wrong@127.0.0.1:{post.port}")
        assert post.sign_ins == 1
    assert "did not take the user name and password in smtp_url (535" in str(found)
    assert not found.temporary


async def test_a_server_that_is_away_is_told_as_such_and_may_come_back() -> None:
    port = free_port()
    found = await refusal(f"smtp://127.0.0.1:{port}")
    assert str(found) == f"The mail server 127.0.0.1:{port} cannot be reached: Connection refused."
    assert found.temporary


async def test_tls_where_none_is_spoken_is_told_as_such(post: PostOffice) -> None:
    found = await refusal(f"smtps://127.0.0.1:{post.port}")
    assert "smtps:// is for a port that begins with TLS" in str(found)


@pytest.mark.parametrize(
    ("answer", "temporary", "final"),
    [("451 4.3.0 come back later", True, False), ("554 5.7.1 no thank you", False, True)],
)
async def test_what_the_server_says_is_told(post: PostOffice, answer: str, temporary: bool, final: bool) -> None:
    post.refusals.append(answer)
    found = await refusal(post.url)
    assert f"refused the letter ({answer})" in str(found)
    assert (found.temporary, found.final) == (temporary, final)


async def test_a_server_that_repeats_what_it_was_sent_does_not_bring_it_into_the_log(post: PostOffice) -> None:
    post.refusals.append(f"550 {ADA.upper()} may not have <{LINK}> nor {LINK[20:40]}\x1b[2J")
    found = await refusal(post.url)
    assert "550 a…@example.com may not have … nor …" in str(found).replace("A…@EXAMPLE.COM", "a…@example.com")
    assert "\x1b" not in str(found)


async def test_without_a_mail_server_nothing_is_sent_and_the_settings_are_named() -> None:
    one = Mailer(settings=Settings())
    one.send_later(RESET)
    with pytest.raises(MailError) as found:
        await one.send(RESET)
    await one.aclose()
    assert not one.configured
    assert str(found.value) == "No mail server is set. Set KEYSTEAD_SMTP_URL and KEYSTEAD_MAIL_FROM."


# In the background


async def test_a_letter_that_is_put_off_is_sent_at_the_third_try(post: PostOffice) -> None:
    one = mailer(post.url)
    post.refusals.extend(["451 later", "421 later still"])
    one.send_later(RESET)
    letter = await post.arrived(ADA)
    await one.aclose()
    assert letter.link == LINK
    assert not post.refusals
    assert len(post.all_letters) == 1


async def test_after_three_tries_the_log_says_once_what_was_not_sent(
    post: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    one = mailer(post.url)
    post.refusals.extend(["451 later"] * 4)
    one.send_later(RESET)
    await one.aclose()
    (line,) = caplog.messages
    assert line.startswith("a letter to a…@example.com was not sent: The mail server 127.0.0.1:")
    assert LINK not in caplog.text
    assert ADA not in caplog.text
    assert list(post.refusals) == ["451 later"]


async def test_a_letter_that_is_refused_for_good_is_tried_once_and_logged_once(
    post: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    one = mailer(post.url)
    post.refusals.extend(["550 no such mailbox", "550 no such mailbox"])
    one.send_later(RESET)
    await one.aclose()
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.ERROR
    assert len(post.refusals) == 1


async def test_whoever_asks_for_a_letter_waits_for_nothing(post: PostOffice) -> None:
    one = mailer(post.url)
    started = time.perf_counter()
    for _ in range(50):
        one.send_later(RESET)
    asked = time.perf_counter() - started
    await post.arrived(ADA, 50)
    await one.aclose()
    assert asked < 0.1
    assert len(post.all_letters) == 50


async def test_no_more_letters_wait_than_there_is_room_for(post: PostOffice, caplog: pytest.LogCaptureFixture) -> None:
    one = mailer(post.url, room=5)
    for _ in range(7):
        one.send_later(RESET)
    await one.aclose()
    assert len(post.all_letters) == 5
    assert [line for line in caplog.messages if "5 others wait" in line] == caplog.messages
    assert len(caplog.messages) == 2


async def test_letters_that_wait_are_sent_before_the_server_stops(post: PostOffice) -> None:
    one = Mailer(settings=Settings(smtp_url=SecretStr(post.url), mail_from=SENDER), pauses=(60, 60))
    post.refusals.append("451 later")
    one.send_later(RESET)
    await asyncio.to_thread(post.wait_for_refusal)
    await one.aclose()
    assert len(post.all_letters) == 1


async def test_an_address_that_is_none_is_logged_and_nothing_more(
    post: PostOffice, caplog: pytest.LogCaptureFixture
) -> None:
    one = mailer(post.url)
    one.send_later(letters.trial("Acme", "ada@example.com\r\nBcc: eve@evil.example"))
    await one.aclose()
    assert post.all_letters == []
    assert caplog.messages == [
        "a letter to a…@evil.example was not sent: The receiver's address is not an e-mail address."
    ]
