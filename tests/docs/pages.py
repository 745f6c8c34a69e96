"""The repository's own texts, as the tests of this folder read them."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"

_FENCE: Final = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown file. ``name`` is its path in the repository."""

    name: str
    text: str

    @property
    def fences(self) -> list[str]:
        """The blocks of code."""
        return _FENCE.findall(self.text)

    @property
    def inline_code(self) -> list[str]:
        """The pieces of code within sentences."""
        return _INLINE.findall(_FENCE.sub("", self.text))

    @property
    def links(self) -> list[str]:
        """The targets of the links."""
        return _LINK.findall(_FENCE.sub("", self.text))


def page(path: Path) -> Page:
    """Read a page."""
    return Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def pages() -> list[Page]:
    """Return what people read: the pages beside the README and those under docs/."""
    return [page(path) for path in (*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")))]


def tracked() -> list[Path]:
    """Return every file that is in the repository, from git."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    listed = subprocess.run(command, cwd=ROOT, env=ours, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]
