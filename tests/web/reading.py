"""A page as its elements, and the rules that hold for every page (promises W4, D4 and the size of a page)."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from urllib.parse import urlsplit

PAGE_BUDGET = 60 * 1024
STATIC = resources.files("keystead.web") / "static"
_REFERENCES = ("for", "aria-describedby", "aria-labelledby", "aria-controls", "data-reveal", "data-copy", "headers")


@dataclass
class Element:
    """An opening tag and its attributes; ``in_label`` when it stands inside a label."""

    tag: str
    attributes: dict[str, str]
    in_label: bool = False


@dataclass
class Reading(HTMLParser):
    """A page as a list of elements, with its visible text."""

    source: str
    elements: list[Element] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    labels: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}, self.labels > 0))
        self.labels += tag == "label"

    def handle_endtag(self, tag: str) -> None:
        self.labels -= tag == "label"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.elements if element.tag in tags]

    def named(self, name: str) -> list[Element]:
        return [element for element in self.elements if element.attributes.get("name") == name]

    def values(self, *names: str) -> list[str]:
        """Return the values of these attributes, wherever they are."""
        return [element.attributes[name] for element in self.elements for name in names if name in element.attributes]

    @property
    def loaded(self) -> list[str]:
        """The addresses that a browser fetches for this page by itself."""
        return [e.attributes["href"] for e in self.all("link")] + [
            e.attributes["src"] for e in self.all("script", "img") if "src" in e.attributes
        ]


def outline_faults(page: Reading) -> list[str]:
    """Say what is wrong with the title, the language and the headings."""
    levels = [int(element.tag[1]) for element in page.all("h1", "h2", "h3", "h4")]
    title = re.search(r"<title>\s*[^<\s][^<]* · [^<]+</title>", page.source)
    wrong = {
        "no doctype at the beginning": not page.source.startswith("<!doctype html>"),
        "not in English": [element.attributes.get("lang") for element in page.all("html")] != ["en"],
        "no title with the name of the installation": title is None,
        "not one heading of the first level": levels.count(1) != 1,
        "does not begin with its first heading": levels[:1] != [1],
        "a heading level is skipped": any(after - before > 1 for before, after in pairwise(levels)),
        "not one main part": len(page.all("main")) != 1,
    }
    return [fault for fault, found in wrong.items() if found]


def naming_faults(page: Reading) -> list[str]:
    """Say which fields have no label, which ids are there twice, and which references lead nowhere."""
    ids = page.values("id")
    labelled = set(page.values("for"))
    inputs = [e for e in page.all("input", "select", "textarea") if e.attributes.get("type") != "hidden"]
    named = ("aria-label", "aria-labelledby")
    unnamed = [
        e.attributes
        for e in inputs
        if e.attributes.get("id") not in labelled and not e.in_label and not any(n in e.attributes for n in named)
    ]
    targets = {target for value in page.values(*_REFERENCES) for target in value.split()}
    targets |= {value[1:] for value in page.values("href") if value.startswith("#") and len(value) > 1}
    return [
        *(f"a field without a label: {attributes}" for attributes in unnamed),
        *(f"an id that is there twice: {each}" for each in set(ids) if ids.count(each) > 1),
        *(f"a reference to nothing: {each}" for each in targets - set(ids)),
        *(f"an image without a text: {e.attributes}" for e in page.all("img") if "alt" not in e.attributes),
    ]


def policy_faults(page: Reading) -> list[str]:
    """Say what the content security policy would refuse, and what leads away from this server."""
    handlers = [n for e in page.elements for n in e.attributes if n == "style" or n.startswith("on")]
    forbidden = [e.tag for e in page.all("style", "iframe", "object", "embed", "base")]
    inline = [e.tag for e in page.all("script") if "src" not in e.attributes]
    targets = page.values("href", "action", "formaction", "src")
    elsewhere = [target for target in targets if not re.match(r"/(?![/\\])|[?#]|otpauth://", target)]
    return [
        *(f"an inline style or handler: {each}" for each in handlers),
        *(f"an element that the policy refuses: {each}" for each in forbidden + inline),
        *(f"loaded from elsewhere: {each}" for each in page.loaded if not each.startswith("/")),
        *(f"leads away: {each}" for each in elsewhere),
    ]


def weight(page: Reading) -> int:
    """Return how many bytes a browser fetches that sees this page first: the page and the static files it names."""
    names = {urlsplit(address).path.removeprefix("/static/") for address in page.loaded}
    files = [STATIC / name for name in names]
    return len(page.source.encode()) + sum(len(file.read_bytes()) for file in files if file.is_file())
