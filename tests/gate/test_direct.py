"""The endpoints behind the gate that answer by themselves: judged, limited, counted and told of like all others."""

from typing import Any

import httpx

from tests.gate.serving import Furnished, furnished_server

TOKEN = "/getServiceKeys/token"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_every_check_of_the_door_is_made_before_the_endpoint_is_asked(furnished: Furnished, tmp_path: Any) -> None:
    with furnished_server(furnished, tmp_path, {}) as server, httpx.Client(base_url=server.url) as client:
        head = client.head(TOKEN)
        assert (head.status_code, head.content, head.headers["allow"]) == (405, b"", "POST")
        assert int(head.headers["content-length"]) > 0
        large = client.post(TOKEN, headers={**FORM, "X-Padding": "x" * 40_000}, content=b"grant_type=x")
        assert (large.status_code, large.json()["error"]) == (431, "invalid_request")
        assert client.post(TOKEN, headers=FORM, content=b"x" * 70_000).status_code == 413
        unframed = client.post(TOKEN, headers=FORM, content=iter([b"x" * 40_000, b"x" * 40_000]))
        assert unframed.status_code == 413
        for answer in (head, large, unframed):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert len(answer.headers["x-request-id"]) == 16
        metrics = client.get("/metrics").text
    assert 'keystead_requests_total{method="HEAD",status="405",surface="oauth"} 1.0' in metrics
    assert 'keystead_requests_total{method="POST",status="413",surface="oauth"} 2.0' in metrics
    assert 'keystead_requests_total{method="POST",status="431",surface="oauth"} 1.0' in metrics
    assert 'keystead_request_seconds_count{surface="oauth"} 4.0' in metrics
