"""Which browser and which system a User-Agent header names, in the words that people use for them.

Browsers carry the names of older ones (RFC 9110, section 10.1.5, asks them not to), so the first word of these lists
that fits decides: Edge says Chrome and Safari as well, Chrome says Safari.
"""

import re
from typing import Final

_BROWSERS: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\b(?:Edg|EdgA|EdgiOS|Edge)/\d", "Edge"),
        (r"\b(?:OPR|OPX|Opera)/\d", "Opera"),
        (r"\bSamsungBrowser/\d", "Samsung Internet"),
        (r"\bVivaldi/\d", "Vivaldi"),
        (r"\b(?:Firefox|FxiOS)/\d", "Firefox"),
        (r"\bHeadlessChrome/\d", "Chrome without a window"),
        (r"\bChromium/\d", "Chromium"),
        (r"\b(?:Chrome|CriOS)/\d", "Chrome"),
        (r"\bVersion/\d.*\bSafari/\d", "Safari"),
    )
)
_SYSTEMS: Final = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"\biPhone\b", "iPhone"),
        (r"\biPad\b", "iPad"),
        (r"\bAndroid\b", "Android"),
        (r"\bCrOS\b", "ChromeOS"),
        (r"\bWindows NT\b", "Windows"),
        (r"\bMac(?:intosh| OS X)\b", "macOS"),
        (r"\bLinux\b", "Linux"),
        (r"\b(?:FreeBSD|OpenBSD|NetBSD)\b", "BSD"),
    )
)
_PROGRAM: Final = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9._-]{0,39})/(?P<version>\d[\w.+-]{0,19})(?: |\Z)")


def browser_words(user_agent: str) -> str:
    """Return a User-Agent header in words: "Firefox on Windows", "curl 8.5.0".

    A text that names no browser or program we know is returned as it is; an empty one is "An unknown browser".
    """
    text = user_agent.strip()
    if not text:
        return "An unknown browser"
    browser = _first(_BROWSERS, text)
    system = _first(_SYSTEMS, text)
    if browser:
        return f"{browser} on {system}" if system else browser
    program = _PROGRAM.match(text)
    if program is not None and program["name"] != "Mozilla":
        return f"{program['name']} {program['version']}"
    return text


def _first(words: tuple[tuple[re.Pattern[str], str], ...], text: str) -> str:
    return next((name for pattern, name in words if pattern.search(text)), "")
