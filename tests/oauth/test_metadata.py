"""A client that knows only the server's address finds its way from the metadata (RFC 8414)."""

import json
import threading
from urllib.parse import urlsplit

from tests.support.browser import Browser
from tests.support.calls import Line
from tests.support.device import DEVICE_GRANT
from tests.support.server import KeysteadServer

METADATA = "/.well-known/oauth-authorization-server"
DEVICE_CODE, TOKEN = "device_authorization_endpoint", "token_endpoint"


def test_a_client_that_knows_the_address_alone_registers_signs_in_and_signs_out(
    shared_server: KeysteadServer, ada: Browser
) -> None:
    with Line(shared_server.url) as line:
        told = line.get(METADATA)
        found = told.json()
        where = {name: urlsplit(url).path for name, url in found.items() if name.endswith(("_endpoint", "_uri"))}
        client = line.ask("POST", where["registration_endpoint"], body={"client_name": "a newcomer"}).json()
        scope = " ".join(found["scopes_supported"])
        form = {"client_id": client["client_id"], "scope": scope}
        codes = line.ask("POST", where[DEVICE_CODE], form=form).json()
        approving = threading.Thread(target=ada.approve, args=(codes["verification_uri_complete"],))
        approving.start()
        form = {"grant_type": DEVICE_GRANT, "device_code": codes["device_code"], "client_id": client["client_id"]}
        tokens = line.ask("POST", where[TOKEN], form=form, headers={"Prefer": "wait=25"}).json()
        approving.join()
        revoked = line.ask("POST", where["revocation_endpoint"], form={"token": tokens["refresh_token"]})
        keys = line.get(where["jwks_uri"])
    assert found["issuer"] == shared_server.url
    assert found["grant_types_supported"] == [DEVICE_GRANT, "refresh_token"]
    assert set(tokens["scope"].split()) == set(found["scopes_supported"])
    assert (revoked.status, keys.status) == (200, 200)


def test_the_metadata_may_be_kept_by_anybody_for_an_hour(shared_server: KeysteadServer) -> None:
    with Line(shared_server.url) as line:
        told = line.get(METADATA)
    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    assert told.headers["cache-control"] == "public, max-age=3600"
    assert json.loads(told.body)["response_types_supported"] == []
