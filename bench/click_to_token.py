"""From the click to the token: a stock client polls as RFC 8628 says, a person approves, and the clock is read at both.

``.venv/bin/python bench/click_to_token.py [--runs N] [--quick]`` needs two cores. The click is the moment at which the
browser begins to send the approval; the token is there when the client has read the whole answer. The client waits
``interval`` seconds after each answer, and knows nothing of held polls. Two hundred wait at a time, and people click at
any time: here at a random one within two turns of holding and pausing. A last row is a client that prefers to wait for
as long as the server lets it, and counts the interval from one poll's beginning to the next one's, which the RFC allows
as well.
"""

import http.client
import json
import random
import statistics
import threading
import time
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from harness import Row, keep, option, quick, say, surroundings, table, workplace
from people import EVERY_SCOPE, inside, new_house, session
from servers import Served, keystead, need_two_cores

from keystead.oauth.service import DEVICE_CODE
from keystead.wire.answers import DEVICE_PAGE

Reply = tuple[int, str]
AT_ONCE: Final = 20 if quick() else 200
"""Devices that are pending beside one another."""
RUNS: Final = option("runs", AT_ONCE)
TWO_TURNS: Final = 9.6
P50_MS: Final = 50
P99_MS: Final = 500
STOCK: Final = "3.8 s"
WAY: Final = (
    "A click that falls into the stock client's pause of a second waits for its next poll; longer holds make that "
    "rarer ([held polls](../docs/decisions/held-polls.md))."
)


class _Fields(HTMLParser):
    """What a page's form would send back."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an input's name and value."""
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.found[given["name"] or ""] = given.get("value") or ""


def ask(served: Served, method: str, path: str, form: Mapping[str, str] | None = None, **headers: str) -> Reply:
    """Send one request and return the status and the body."""
    connection = http.client.HTTPConnection(urlsplit(served.url).netloc, timeout=30)
    if form:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, urlencode(form) if form else None, headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def poll(served: Served, client_id: str, codes: dict[str, Any], told: list[float], **headers: str) -> None:
    """Be the client: poll until there is a token, and note when."""
    form = {"grant_type": DEVICE_CODE, "device_code": codes["device_code"], "client_id": client_id}
    interval = codes.get("interval", 5)
    while True:
        began = time.perf_counter()
        status, body = ask(served, "POST", "/getServiceKeys/token", form, **headers)
        if status == 200:
            told.append(time.perf_counter())
            return
        error = json.loads(body)["error"]
        if error == "slow_down":
            interval += 5
        elif error != "authorization_pending":
            raise RuntimeError(f"the client was told {body}")
        pause = interval if not headers["Prefer"] else interval - (time.perf_counter() - began)
        time.sleep(max(0, pause))


def one_run(served: Served, cookie: str, prefer: str, all_wait: threading.Barrier) -> float:
    """Sign in once, clicking when all are waiting, and return the seconds from the click to the token."""
    client_id = "parallel-cli"
    _, body = ask(served, "POST", "/getServiceKeys/device/code", {"client_id": client_id, "scope": EVERY_SCOPE})
    codes, told = json.loads(body), list[float]()
    client = threading.Thread(target=poll, args=(served, client_id, codes, told), kwargs={"Prefer": prefer})
    client.start()
    _, page = ask(served, "GET", f"{DEVICE_PAGE}?user_code={codes['user_code']}", Cookie=cookie)
    fields = _Fields()
    fields.feed(page)
    all_wait.wait()
    time.sleep(random.uniform(0, TWO_TURNS))  # noqa: S311 - a person's moment
    clicked = time.perf_counter()
    status, _ = ask(served, "POST", DEVICE_PAGE, {**fields.found, "decision": "approve"}, Cookie=cookie)
    if status != 303:
        raise RuntimeError(f"the approval was answered {status}")
    client.join()
    return told[0] - clicked


def runs(served: Served, cookie: str, prefer: str) -> list[float]:
    """Let many people sign in, one time after the other each, and return the milliseconds of every run."""
    took: list[float] = []
    all_wait = threading.Barrier(AT_ONCE)

    def person() -> None:
        took.extend([one_run(served, cookie, prefer, all_wait) * 1000 for _ in range(RUNS // AT_ONCE)])

    people = [threading.Thread(target=person) for _ in range(AT_ONCE)]
    for each in people:
        each.start()
    for each in people:
        each.join()
    return took


def row_of(name: str, p50: float, p99: float) -> Row:
    """Return the line of the results for one way to wait; only what a stock client finds has an aim."""
    what, found = f"click to token, {AT_ONCE} pending devices", f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms"
    if name != STOCK:
        return Row(f"{what}, held for {name}", "", found, None)
    met = p50 <= P50_MS and p99 <= P99_MS
    return Row(f"{what}, stock client", f"p50 at most {P50_MS} ms, p99 at most {P99_MS} ms", found, met, WAY)


def main() -> None:
    """Measure the way from the click to the token."""
    need_two_cores()
    surroundings("uvicorn")
    with workplace() as place:
        house = new_house(place / "data")
        cookie = f"cloud.sso={inside(house.data, session)}"
        rows = []
        ways = ((STOCK, "3.8", ""), ("0 s", "0", ""), ("25 s, as the client prefers", "3.8", "wait=25"))
        for name, hold, prefer in ways:
            with keystead(house, KEYSTEAD_DEVICE_POLL_HOLD=hold) as served:
                took = runs(served, cookie, prefer)
            centiles = statistics.quantiles(took, n=100, method="inclusive")
            keep(row_of(name, centiles[49], centiles[98]))
            rows.append([name, str(len(took)), *(f"{v:,.0f}" for v in (centiles[49], centiles[98], max(took)))])
        table(["poll held for at most", "runs", "p50, ms", "p99, ms", "longest, ms"], rows)
        say("Without holding, the wait is what is left of the client's interval of one second.")


if __name__ == "__main__":
    main()
