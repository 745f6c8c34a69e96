"""What one check of ``keystead doctor`` found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """A check by its name; ``problem`` says what is wrong and what to do, and is empty when all is well."""

    name: str
    problem: str = ""
