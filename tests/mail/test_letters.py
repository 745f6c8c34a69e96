"""What letters say: the same in both parts, why one gets them, what to do, and a link that is whole."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any, Final

import pytest

from keystead.kernel.colors import STANDARD, theme_of
from keystead.kernel.secrets import Secret
from keystead.mail import letters
from keystead.mail.messages import compose, plain_text
from keystead.mail.models import Letter, MailError
from tests.support.mail import SENDER, Received, read

ADA: Final = "ada@example.com"
LINK: Final = "https://auth.example.com/sign-in/reset/" + "a1B2-_" * 14
NOW: Final = 1_763_800_000
KEYS: Final = [("nightly build", "Default", "abcd…wxyz", NOW + 86_400), ("laptop", "Ünï", "1234…6789", NOW)]

ALL: Final[dict[str, Callable[[str], Letter]]] = {
    "password_reset": lambda product: letters.password_reset(product, ADA, LINK, 60),
    "password_changed": lambda product: letters.password_changed(product, ADA, "192.0.2.7", LINK),
    "password_set": lambda product: letters.password_set(product, ADA, "Acme Ltd", LINK),
    "prove_email": lambda product: letters.prove_email(product, ADA, LINK, 24),
    "already_known": lambda product: letters.already_known(product, ADA, LINK),
    "invitation": lambda product: letters.invitation(product, ADA, "Acme Ltd", "Bob", "admin", LINK, 7),
    "keys_expiring": lambda product: letters.keys_expiring(product, ADA, KEYS, LINK),
    "second_factor_changed": lambda product: letters.second_factor_changed(
        product, ADA, "A passkey was added", "192.0.2.7", LINK
    ),
    "acted_as": lambda product: letters.acted_as(product, ADA, "root", "request 4711: a wrong balance", LINK),
    "removed_from": lambda product: letters.removed_from(product, ADA, "Acme Ltd"),
    "trial": lambda product: letters.trial(product, ADA),
}


def arrived(letter: Letter, **options: Any) -> Received:
    """Return a letter as it arrives."""
    usual: dict[str, Any] = {"product_name": "Acme Keys", "sender": SENDER, "theme": STANDARD, "now": NOW}
    return read(bytes(compose(letter, **(usual | options))), letter.to, SENDER)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", ALL)
def test_both_parts_of_a_letter_say_the_same(name: str) -> None:
    letter = ALL[name]("Acme Keys")
    found = arrived(letter)
    said = [*letter.paragraphs, *letter.items, *letter.closing, *([letter.button[0]] if letter.button else [])]
    assert [sentence for sentence in said if sentence not in words(found.text).replace(" - ", " ")] == []
    assert [sentence for sentence in said if sentence not in found.shown] == []
    left = found.shown
    for sentence in (*said, "Acme Keys", "If the button does nothing, open this address in a browser:", LINK):
        left = left.replace(sentence, "")
    assert left.strip() == ""


@pytest.mark.parametrize("name", ALL)
def test_each_letter_says_why_one_gets_it_and_what_to_do_if_it_was_not_oneself(name: str) -> None:
    letter = ALL[name]("Acme Keys")
    assert letter.closing[-1].startswith("You get this letter")
    assert any(
        re.match(r"If (it was not you|you do|you did not|you think)|.*If you do not", it) for it in letter.closing
    )
    assert "Acme Keys" in letter.subject
    assert "Acme Keys" in " ".join(letter.paragraphs)
    assert len(letter.subject) < 78
    assert "!" not in plain_text(letter, "Acme Keys")


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name]("Acme").button])
@pytest.mark.parametrize("product", ["Acme Keys", "Schlüssel & <Söhne>"])
def test_the_link_is_whole_in_both_parts(name: str, product: str) -> None:
    found = arrived(ALL[name](product), product_name=product)
    assert found.link == LINK
    assert re.findall(r'href="([^"]+)"', found.html) == [LINK, LINK]
    assert LINK in found.shown


def test_a_plain_part_in_ascii_is_sent_as_it_is_so_that_nothing_breaks_its_link() -> None:
    assert LINK.encode() in bytes(
        compose(ALL["password_reset"]("Acme"), product_name="Acme", sender=SENDER, theme=STANDARD, now=NOW)
    )


def test_lines_of_the_plain_part_are_short_but_for_the_link() -> None:
    long = [line for line in arrived(ALL["invitation"]("Acme")).text.split("\n") if len(line) > 72]
    assert long == [LINK]


def test_the_headers_tell_who_wrote_when_and_that_no_person_did() -> None:
    message = arrived(ALL["trial"]("Acme"), product_name="Schlüssel Söhne").message
    assert str(message["From"]) == f"Schlüssel Söhne <{SENDER}>"
    assert message["To"].addresses[0].addr_spec == ADA
    assert message["Date"].datetime.timestamp() == NOW
    assert re.fullmatch(r"<[0-9a-f-]{36}@example\.com>", message["Message-ID"])
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"


def test_two_letters_never_share_an_id() -> None:
    assert arrived(ALL["trial"]("Acme")).message["Message-ID"] != arrived(ALL["trial"]("Acme")).message["Message-ID"]


def test_the_html_part_loads_nothing() -> None:
    html = arrived(ALL["password_reset"]("Acme")).html
    assert not re.search(r"<(img|script|link|iframe|object|video|form)|url\(|@import|src=", html)
    assert set(re.findall(r'https?://[^"<\s]+', html)) == {LINK}


def test_the_button_has_the_operators_colour_in_both_schemes() -> None:
    theme = theme_of("#7a2e8d")
    html = arrived(ALL["password_reset"]("Acme"), theme=theme).html
    assert f"background: {theme.light.accent}; color: {theme.light.on_accent}" in html
    assert f"background: {theme.dark.accent}; color: {theme.dark.on_accent}" in html
    assert "prefers-color-scheme: dark" in html


HOSTILE: Final = "Acme\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>"


@pytest.mark.parametrize("place", ["product", "organization", "inviter"])
def test_a_name_with_line_ends_adds_no_header_and_no_markup(place: str) -> None:
    names = {"product": "Acme", "organization": "Acme", "inviter": "Bob", place: HOSTILE}
    letter = letters.invitation(names["product"], ADA, names["organization"], names["inviter"], "member", LINK, 7)
    found = arrived(letter, product_name=names["product"])
    assert found.message["Bcc"] is None
    assert b"\nBcc:" not in found.raw.partition(b"\r\n\r\n")[0]
    assert found.message["To"].addresses[0].addr_spec == ADA
    assert "<script>" not in found.html
    assert "<script>" in unescape(found.html)


@pytest.mark.parametrize(
    "address",
    [
        "ada@example.com\r\nBcc: eve@evil.example",
        "ada@example.com\nRCPT TO:<eve@evil.example>",
        "ada@example.com, eve@evil.example",
        "Ada <ada@example.com>",
        "ada@example.com> SIZE=1",
        "ada",
        "",
        "ada@exa\0mple.com",
        "ada@" + "ü" * 300 + ".example",
    ],
)
def test_what_is_not_one_plain_address_is_refused(address: str) -> None:
    with pytest.raises(MailError) as refusal:
        compose(letters.trial("Acme", address), product_name="Acme", sender=SENDER, theme=STANDARD, now=NOW)
    assert refusal.value.final
    assert "evil" not in str(refusal.value)


def test_an_address_beyond_ascii_is_written_as_the_dns_knows_it() -> None:
    found = arrived(letters.trial("Acme", "ada@bücher.example"))
    assert found.message["To"].addresses[0].addr_spec == "ada@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Win money at https://evil.example/now", "Win money at evil. example/now"),
        ("www.evil.example", "www. evil. example"),
        ("Dr. Ada O'Neill, 2.5", "Dr. Ada O'Neill, 2.5"),
        ("eve@evil.example", "eve evil. example"),
        ("two\n\nlines\u202e", "two lines"),
    ],
)
def test_mail_programs_find_no_link_in_a_name_that_somebody_else_chose(name: str, shown: str) -> None:
    found = arrived(letters.invitation("Acme", ADA, name, "Bob", "member", LINK, 7))
    assert f"the organization {shown} at Acme" in words(found.text)
    assert found.subject == f"Invitation to {shown} at Acme"


def test_a_letter_does_not_show_its_receiver_or_its_link() -> None:
    letter = letters.password_reset("Acme", ADA, Secret(LINK), 60)
    assert ADA not in repr(letter)
    assert LINK not in repr(letter)
    assert "a1B2" not in repr(letter)


@pytest.mark.parametrize(("days", "told"), [(1, "within 1 day."), (7, "within 7 days.")])
def test_lifetimes_are_told_in_words(days: int, told: str) -> None:
    assert told in " ".join(letters.invitation("Acme", ADA, "Acme", "Bob", "owner", LINK, days).paragraphs)


def test_nobody_has_to_answer_an_invitation() -> None:
    letter = letters.invitation("Acme", ADA, "Acme", "Bob", "owner", LINK, 7)
    said = " ".join((*letter.paragraphs, *letter.closing))
    assert "do not want to join, do nothing: an invitation that nobody accepts ends by itself after 7 days." in said
    assert "refuse" not in said


def test_a_role_is_told_in_words() -> None:
    assert "as an owner." in letters.invitation("Acme", ADA, "Acme", "Bob", "owner", LINK, 7).paragraphs[0]
