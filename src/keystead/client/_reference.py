"""``python -m keystead.client._reference``: writes the parts of ``docs/sdk.md`` that come from the code (promise O10).

What people wrote stands between these parts and is left as it is. A test holds the page against what this module makes,
and another one runs every example on it.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final

from keystead import client
from keystead.client import _environment, _http, _quick, _waiting
from keystead.client._credentials import ApiKeyCredential
from keystead.client._errors import KeysteadError
from keystead.client._keystead import Keystead
from keystead.client._retry import RetryPolicy
from keystead.client._store.store import REFRESH_SECONDS
from keystead.kernel.secrets import Secret

PAGE: Final = Path(__file__).parents[3] / "docs" / "sdk.md"
_PART: Final = re.compile(r"(<!-- from the code: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SENTENCE: Final = re.compile(r"(?<=\.)\s+(?=[A-Z`])")
_CODE: Final = re.compile(r"\s*\(promise \w+\)")
"""The code of a promise, which is for those who read the code."""
_ANNOTATION: Final = re.compile(r"\b(?:datetime|keystead(?:\.\w+)+)\.(?=\w)")


def order() -> str:
    """Return the order in which a credential and its server are looked for."""
    told = inspect.cleandoc(_environment.__doc__ or "").partition("::\n\n")[2].partition("\n\n")[0]
    return "\n".join(["```", *(line.removeprefix("    ") for line in told.splitlines()), "```"])


def account() -> str:
    """Return every call of the Account API, with what it takes, what it gives and what it needs."""
    nobody = Keystead(ApiKeyCredential("https://auth.example.com", Secret("")))
    return "\n".join(line for group in vars(nobody.account) for line in _calls(group, getattr(nobody.account, group)))


def _calls(name: str, group: object) -> Iterator[str]:
    yield f"**`client.account.{name}`**: {_first(group)}\n"
    for call, function in vars(type(group)).items():
        if inspect.isfunction(function):
            yield f"- `{name}.{call}{_signature(function)}`<br>{_whole(function)}"
    yield ""


def _signature(function: Callable[..., object]) -> str:
    shown = inspect.signature(function)
    taken = [one for one in shown.parameters.values() if one.name != "self"]
    return _ANNOTATION.sub("", str(shown.replace(parameters=taken))).replace("NoneType", "None")


def errors() -> str:
    """Return the exceptions as a tree, each with its meaning."""
    rows = list(_branch(KeysteadError, "", ""))
    width = max(len(drawn) for drawn, _ in rows) + 2
    return "\n".join(["```", *(f"{drawn:<{width}}{meaning}" for drawn, meaning in rows), "```"])


def _branch(kind: type[Exception], drawn: str, below: str) -> Iterator[tuple[str, str]]:
    yield f"{drawn}{kind.__name__}", _first(kind).replace("`", "")
    inner = [one for one in kind.__subclasses__() if one.__module__ == kind.__module__]
    for one in inner:
        last = one is inner[-1]
        yield from _branch(one, f"{below}{'└' if last else '├'}── ", f"{below}{'    ' if last else '│   '}")


def names() -> str:
    """Return the public names, each with its meaning. The exceptions have a tree of their own."""
    rows = [(name, getattr(client, name)) for name in client.__all__]
    told = [f"| `{name}` | {_first(one)}{_members(one)} |" for name, one in rows if not _is_error(one)]
    return "\n".join(["| name | meaning |", "| --- | --- |", *told])


def _members(one: object) -> str:
    """Return which values a record holds."""
    if not (isinstance(one, type) and is_dataclass(one)):
        return ""
    named = [f"`{member.name}`" for member in fields(one) if not member.name.startswith("_")]
    return f" It has {', '.join(named)}."


def _is_error(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, KeysteadError)


def numbers() -> str:
    """Return the defaults and limits of the client."""
    policy = {one.name: one.default for one in fields(RetryPolicy)}
    rows = {
        "for a connection, and for each part of an answer (`timeout`)": f"{_http.TIMEOUT:g} s",
        "for a whole answer, however steadily it comes": f"{_http.LONGEST_ANSWER:g} s",
        "the largest answer": f"{_http.LARGEST_ANSWER // 2**20} MB",
        "requests for one call (`RetryPolicy.attempts`)": f"{policy['attempts']}",
        "from the first request to the beginning of the last (`total`)": f"{policy['total']:g} s",
        "the pause before the second request: random, up to (`first`)": f"{policy['first']:g} s, then twice that",
        "the longest pause (`longest`), unless the server asks for more": f"{policy['longest']:g} s",
        "for how long the server may hold a poll of a sign-in": f"{_waiting.LONGEST_HOLD} s",
        "a token is renewed at a random moment in the last part of its life": (
            f"{_quick.LATEST_SHARE:.0%} to {_quick.EARLIEST_SHARE:.0%}"
        ),
        "for another process that renews the same sign-in": f"{REFRESH_SECONDS:g} s",
    }
    told = [f"| {what} | {how_much} |" for what, how_much in rows.items()]
    return "\n".join(["| what | how long, how much |", "| --- | --- |", *told])


PARTS: Final[dict[str, Callable[[], str]]] = {
    "order": order,
    "account": account,
    "errors": errors,
    "names": names,
    "numbers": numbers,
}


def page(text: str) -> str:
    """Return the page with what the code says in its parts. Raises KeyError for a part that nobody knows."""
    return _PART.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", text)


def _whole(one: object) -> str:
    """Return what a docstring says, as one paragraph of Markdown."""
    return _CODE.sub("", " ".join((inspect.getdoc(one) or "").replace("``", "`").replace("|", "\\|").split()))


def _first(one: object) -> str:
    """Return the first sentence of a docstring."""
    return _SENTENCE.split(_whole(one).partition(" :: ")[0])[0]


def main() -> int:
    """Write the page."""
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write("docs/sdk.md\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
