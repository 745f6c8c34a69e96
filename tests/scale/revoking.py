"""Revoking an API key through a node, as its owner does."""

import time

from tests.support.calls import Line
from tests.support.cluster import Key


def revoke(url: str, token: str, key: Key) -> float:
    """Delete a key through a node and return when that was answered."""
    with Line(url) as line:
        line.open()
        path = f"/account/service/v1/apps/{key.app_id}/keys/{key.id}"
        answer = line.ask("DELETE", path, headers={"Authorization": f"Bearer {token}"})
        answered = time.monotonic()
    assert (answer.status, answer.json()) == (200, {"deleted": True})
    return answered
