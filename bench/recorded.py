"""Writing down an answer of Keystead, for a bare application to give."""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

from servers import Served

FORM = "application/x-www-form-urlencoded"


def record(served: Served, method: str, path: str, file: Path, *, header: str = "", body: str = "") -> Path:
    """Ask once and keep status, headers and body in ``file``; the date is the server's own."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=10)
    headers = {"Content-Type": FORM} if body else {}
    if header:
        name, _, value = header.partition(": ")
        headers[name] = value
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    kept = [(name.lower(), value) for name, value in response.getheaders() if name.lower() != "date"]
    answer = {"status": response.status, "headers": kept, "body": response.read().decode()}
    connection.close()
    file.write_text(json.dumps(answer), encoding="utf-8")
    return file
