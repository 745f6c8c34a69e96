"""Clients that go on using and making credentials while something happens to the nodes or to their database."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final

from tests.support.calls import NO_ANSWER, Line, Reply
from tests.support.cluster import Cluster, Key
from tests.support.processes import wait_for
from tests.support.server import ADA

CHECKERS: Final = 2
CHAINS: Final = 4
PAUSE: Final = 0.05
"""Seconds that a client waits after a fault, before it tries again."""
SESSION: Final = re.compile(r"cloud\.sso=[^;,]+")


@dataclass
class Traffic:
    """Clients that use and make credentials at one or several addresses, and all that they were told."""

    urls: Sequence[str]
    key: Key
    tokens: list[str]
    authorization: dict[str, str]
    met: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    keys: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    careless: list[str] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let the clients work meanwhile."""
        works: list[Callable[[Line], None]] = [self._check] * CHECKERS
        works += [lambda line, chain=chain: self._refresh(line, chain) for chain in range(CHAINS)]  # type: ignore[misc]
        works += [self._sign_in, self._create_key]
        threads = [
            threading.Thread(target=self._go_on, args=pair) for pair in zip(works, cycle(self.urls), strict=False)
        ]
        for thread in threads:
            thread.start()
        try:
            self.await_more(100)
            yield
            self.await_more(100)
        finally:
            self.enough.set()
            for thread in threads:
                thread.join()

    def await_more(self, number: int) -> None:
        """Wait until so many more checks, and a hundredth as much of everything else, succeeded."""
        before = self.met.copy()

        def met(what: str, status: int, times: int) -> bool:
            return self.met[what, status] >= before[what, status] + times

        few = max(1, number // 50)
        wait_for(
            lambda: (
                met("check", 200, number)
                and met("refresh", 200, number)
                and met("sign in", 204, few)
                and met("create", 200, few)
            ),
            f"{number} more of everything",
        )

    def await_faults(self, number: int) -> None:
        """Wait until so many answers were a 503."""
        wait_for(
            lambda: sum(times for (_, status), times in self.met.copy().items() if status == 503) >= number,
            f"{number} answers that say try again",
        )

    def _go_on(self, work: Callable[[Line], None], url: str) -> None:
        with Line(url) as line:
            while not self.enough.is_set():
                work(line)

    def _note(self, what: str, call: Callable[[], Reply]) -> Reply | None:
        try:
            answer = call()
        except NO_ANSWER:
            answer = None
        with self.lock:
            self.met[what, 0 if answer is None else answer.status] += 1
            if answer is not None and answer.status == 503 and int(answer.headers.get("retry-after", "0")) < 1:
                self.careless.append(answer.text)
        if answer is None or answer.status >= 500:
            self.enough.wait(PAUSE)
        return answer

    def _check(self, line: Line) -> None:
        self._note("check", lambda: line.check(self.key.text))

    def _refresh(self, line: Line, chain: int) -> None:
        answer = self._note("refresh", lambda: line.refresh(self.tokens[chain]))
        if answer is not None and answer.status == 200:
            self.tokens[chain] = answer.json()["refresh_token"]

    def _sign_in(self, line: Line) -> None:
        body = {"username": ADA.username, "password": ADA.password}
        answer = self._note("sign in", lambda: line.ask("POST", "/api/sso/password/login", body=body))
        if answer is not None and answer.status == 204:
            self.sessions += SESSION.findall(answer.headers["set-cookie"])

    def _create_key(self, line: Line) -> None:
        path, body = f"/account/service/v1/apps/{self.key.app_id}/keys", {"api_key_name": "made under way"}
        answer = self._note("create", lambda: line.ask("POST", path, body=body, headers=self.authorization))
        if answer is not None and answer.status == 200:
            self.keys.append(answer.json()["raw_api_key"])

    def lost(self, url: str) -> Any:
        """Return what a node does not know of all that was acknowledged."""
        with Line(url) as line:
            keys = [key for key in self.keys if line.check(key).status != 200]
            sessions = [one for one in self.sessions if line.get("/verify", {"Cookie": one}).status != 200]
            answers = [line.refresh(token) for token in self.tokens]
        grants = [answer.text for answer in answers if answer.status != 200]
        self.tokens = [answer.json()["refresh_token"] for answer in answers if answer.status == 200]
        return keys, sessions, grants


def begin(nodes: Cluster, urls: Sequence[str]) -> Traffic:
    """Return clients of these addresses that have something to use."""
    (key,) = nodes.new_keys(["before"])
    tokens = nodes.sign_in(CHAINS, urls)
    authorization = {"Authorization": f"Bearer {tokens[0].access_token}"}
    return Traffic(urls, key, [one.refresh_token for one in tokens], authorization)
