"""``python -m keystead.operate.reference``: the reference pages that are generated from the code (promise O10).

``docs/settings.md`` and ``docs/problems.md`` are what this writes; a test holds them against it.
"""

import inspect
import sys
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from keystead.kernel.problems import catalogue
from keystead.kernel.settings import FILE_NAME, PREFIX, SECRETS, Settings

DOCS: Final = Path(__file__).parents[3] / "docs"


def settings_page() -> str:
    """Return the page of settings."""
    rows = [_setting(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(
        [
            "# Settings",
            "",
            f"Each can be set in the environment or, in lower case without `{PREFIX}`, in `{FILE_NAME}` in the data",
            "directory. The environment wins. An unknown name is refused, and every mistake is reported at once.",
            "Lifetimes are in seconds; limits are written as in `10/minute`; lists are separated by commas.",
            "",
            "A secret may stand in a file of its own instead, whose path is in one of these variables:",
            ",\n".join(f"`{PREFIX}{name.upper()}_FILE`" for name in sorted(SECRETS)) + ".",
            "",
            "| variable | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def problems_page() -> str:
    """Return the page of problems."""
    parts = [
        "# Problems",
        "",
        "Every refusal has a stable code. A running server explains each at `/problems/<code>`.",
        "",
    ]
    for kind in catalogue():
        meaning = inspect.cleandoc(kind.__doc__ or "")
        parts += [f"## {kind.code}", "", f"Status {kind.status}. {kind.title}.", "", meaning, "", kind.remedy, ""]
    return "\n".join(parts)


PAGES: Final = {"settings.md": settings_page, "problems.md": problems_page}


def _setting(name: str, field: FieldInfo) -> str:
    return f"| `{PREFIX}{name.upper()}` | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, "", []):
        return "none"
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main() -> int:
    """Write the pages."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
