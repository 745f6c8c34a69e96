"""What the room hands around: a letter, and why one could not be sent."""

from dataclasses import dataclass, field

from keystead.kernel.secrets import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One letter to one person, before it has a form.

    ``paragraphs`` come first, then ``items`` as a list, then the one ``button``, a label and the address that it opens,
    then ``closing``: what to do if it was not oneself, and why one gets the letter. An address may let somebody in, so
    it is a secret, and neither it nor the receiver is shown by ``repr`` (promise W9).
    """

    to: str = field(repr=False)
    subject: str
    paragraphs: tuple[str, ...] = field(repr=False)
    items: tuple[str, ...] = field(default=(), repr=False)
    button: tuple[str, Secret] | None = None
    closing: tuple[str, ...] = field(default=(), repr=False)


class MailError(Exception):
    """A letter was not sent; the text says why and what to do, and names neither the receiver nor a link.

    ``temporary``: the same letter may be taken later (a code of 4yz, RFC 5321, section 4.2.1, or a server away).
    ``final``: this letter never will, while others may. What is neither, an operator has to mend.
    """

    def __init__(self, sentence: str, *, temporary: bool = False, final: bool = False) -> None:
        """Tell ``sentence`` to an operator."""
        self.temporary = temporary
        self.final = final
        super().__init__(sentence)
