"""Letters reach the mail server, and what cannot be sent is told in a sentence."""

from keystead.kernel.settings import Settings
from keystead.mail import letters
from keystead.mail.service import Mailer
from tests.support.mail import SENDER, PostOffice

ADA = "ada@example.com"
LINK = "https://auth.example.com/reset?token=" + "a1B2" * 11


async def test_a_letter_arrives_with_a_plain_and_an_html_part(post: PostOffice) -> None:
    mailer = Mailer(settings=Settings(**post.settings, product_name="Acme"))
    await mailer.send(letters.password_reset("Acme", ADA, LINK, 30))
    await mailer.aclose()
    (letter,) = post.letters_to(ADA)
    assert letter.sender == SENDER
    assert letter.link == LINK
    assert f'href="{LINK}"' in letter.html
