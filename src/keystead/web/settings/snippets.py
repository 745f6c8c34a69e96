"""Ways to use a token or an API key at once: commands and programs with the secret already in them.

Each asks this server who the credential is, and runs as it stands, with nothing but what its language brings.
"""

import json
import shlex
from dataclasses import dataclass, field
from typing import Final

from keystead.kernel.secrets import Secret

SESSION_PATH: Final = "/api/auth/session"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """A text to copy. ``language`` is a short name for it, ``label`` the one that people know."""

    language: str
    label: str
    text: str = field(repr=False)


def for_token(public_url: str, token: Secret) -> tuple[Snippet, ...]:
    """Return how to send a bearer token (RFC 6750, section 2.1)."""
    url, text = f"{public_url}{SESSION_PATH}", token.reveal()
    return _snippets(
        curl=f"curl -H {shlex.quote(f'Authorization: Bearer {text}')} \\\n  {shlex.quote(url)}\n",
        python=_PYTHON_BEARER % {"token": json.dumps(text), "url": json.dumps(url)},
        javascript=_JAVASCRIPT_BEARER % {"token": json.dumps(text), "url": json.dumps(url)},
        go=_GO_BEARER % {"token": json.dumps(text), "url": json.dumps(url)},
    )


def for_key(public_url: str, key: Secret) -> tuple[Snippet, ...]:
    """Return how to send an API key: as the user name of HTTP Basic, with an empty password (RFC 7617, section 2)."""
    url, text = f"{public_url}{SESSION_PATH}", key.reveal()
    return _snippets(
        curl=f"curl -u {shlex.quote(f'{text}:')} \\\n  {shlex.quote(url)}\n",
        python=_PYTHON_BASIC % {"key": json.dumps(text), "url": json.dumps(url)},
        javascript=_JAVASCRIPT_BASIC % {"key": json.dumps(text), "url": json.dumps(url)},
        go=_GO_BASIC % {"key": json.dumps(text), "url": json.dumps(url)},
    )


def _snippets(*, curl: str, python: str, javascript: str, go: str) -> tuple[Snippet, ...]:
    return (
        Snippet(language="curl", label="curl", text=curl),
        Snippet(language="python", label="Python", text=python),
        Snippet(language="javascript", label="JavaScript", text=javascript),
        Snippet(language="go", label="Go", text=go),
    )


# JSON writes a text as Python, JavaScript and Go do, as long as it is printable ASCII: our secrets and addresses are.

_PYTHON_BEARER: Final = """\
import json
from urllib.request import Request, urlopen

token = %(token)s
request = Request(
    %(url)s,
    headers={"Authorization": f"Bearer {token}"},
)
with urlopen(request) as response:
    print(json.load(response))
"""

_PYTHON_BASIC: Final = """\
import json
from base64 import b64encode
from urllib.request import Request, urlopen

api_key = %(key)s
encoded = b64encode(f"{api_key}:".encode()).decode()  # the password is empty
request = Request(
    %(url)s,
    headers={"Authorization": f"Basic {encoded}"},
)
with urlopen(request) as response:
    print(json.load(response))
"""

_JAVASCRIPT_BEARER: Final = """\
const token = %(token)s;
fetch(%(url)s, {
  headers: { Authorization: `Bearer ${token}` },
})
  .then((response) => response.json())
  .then((session) => console.log(session));
"""

_JAVASCRIPT_BASIC: Final = """\
const apiKey = %(key)s;
fetch(%(url)s, {
  headers: { Authorization: `Basic ${btoa(`${apiKey}:`)}` }, // the password is empty
})
  .then((response) => response.json())
  .then((session) => console.log(session));
"""

_GO_BEARER: Final = """\
package main

import (
\t"fmt"
\t"io"
\t"log"
\t"net/http"
)

func main() {
\ttoken := %(token)s
\trequest, err := http.NewRequest("GET", %(url)s, nil)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\trequest.Header.Set("Authorization", "Bearer "+token)
\tresponse, err := http.DefaultClient.Do(request)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\tdefer response.Body.Close()
\tbody, err := io.ReadAll(response.Body)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\tfmt.Println(string(body))
}
"""

_GO_BASIC: Final = """\
package main

import (
\t"fmt"
\t"io"
\t"log"
\t"net/http"
)

func main() {
\tapiKey := %(key)s
\trequest, err := http.NewRequest("GET", %(url)s, nil)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\trequest.SetBasicAuth(apiKey, "") // the password is empty
\tresponse, err := http.DefaultClient.Do(request)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\tdefer response.Body.Close()
\tbody, err := io.ReadAll(response.Body)
\tif err != nil {
\t\tlog.Fatal(err)
\t}
\tfmt.Println(string(body))
}
"""
