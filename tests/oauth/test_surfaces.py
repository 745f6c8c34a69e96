"""One implementation behind two surfaces: what differs between them, and that nothing else does."""

import asyncio
import base64
import json
from collections import Counter
from typing import Any, Final

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select

from keystead.app import build_application
from keystead.db import Query
from keystead.db.tables import device_authorization, oauth_grant
from keystead.kernel.scopes import READ_SCOPES, format_scopes
from keystead.kernel.secrets import Secret
from keystead.oauth.models import DeviceCodes
from keystead.oauth.service import DEVICE_CODE
from keystead.oauth.surfaces import OPENID, OPENID_SCOPES, SERVICE_KEYS, SURFACES, OAuthSurface
from tests.oauth.conftest import Open
from tests.oauth.polling import AT_ONCE, held
from tests.support import issued
from tests.support.installation import EVERY_SCOPE, PUBLIC_URL, Installation
from tests.wire.shapes import check_refusal

PW: Final = "pw-cli"
ALWAYS: Final = "openid profile email offline_access"
_DEVICE_NAMES: Final = Query(select(oauth_grant.c.device_name), str)
_ASKED: Final = Query(select(device_authorization.c.scopes), str)


async def start(web: httpx.AsyncClient, surface: OAuthSurface = OPENID, **form: Any) -> dict[str, Any]:
    """Ask for codes."""
    answer = await web.post(surface.device_authorization, data={"client_id": PW, **form})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    issued.note(found["device_code"], found["user_code"])
    return found


async def poll(
    web: httpx.AsyncClient, codes: dict[str, Any], surface: OAuthSurface = OPENID, **headers: str
) -> httpx.Response:
    """Poll once."""
    form = {"grant_type": DEVICE_CODE, "client_id": PW, "device_code": codes["device_code"]}
    return await web.post(surface.token, data=form, headers=headers)


async def approve(house: Installation, codes: dict[str, Any]) -> None:
    """Approve as ada."""
    assert await house.approve(DeviceCodes(Secret(codes["device_code"]), Secret(codes["user_code"]), 0, 0))


async def sign_in(house: Installation, web: httpx.AsyncClient, scope: str = EVERY_SCOPE, **form: str) -> dict[str, Any]:
    """Go the whole way at the ACTIVATE API's surface."""
    codes = await start(web, OPENID, scope=scope, **form)
    await approve(house, codes)
    answer = await poll(web, codes)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refresh(
    web: httpx.AsyncClient, token: str, surface: OAuthSurface = OPENID, scope: str | None = None
) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": token}
    return await web.post(surface.token, data=form if scope is None else {**form, "scope": scope})


async def whoami(web: httpx.AsyncClient, token: str) -> int:
    return (await web.get("/api/auth/session", headers={"Authorization": f"Bearer {token}"})).status_code


def header_of(token: str) -> dict[str, str]:
    first = token.partition(".")[0]
    found: dict[str, str] = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    return found


# What is given


async def test_a_sign_in_gives_an_opaque_token_a_refresh_token_and_who_signed_in(
    house: Installation, web: httpx.AsyncClient
) -> None:
    codes = await start(web, scope="openid keys:read")
    assert set(codes) == {
        "device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval",
    }  # fmt: skip
    pending = await poll(web, codes)
    assert (pending.status_code, pending.json()["error"]) == (400, "authorization_pending")
    await approve(house, codes)
    answer = await poll(web, codes)
    tokens = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert set(tokens) == {"access_token", "token_type", "expires_in", "refresh_token", "scope", "id_token"}
    assert tokens["access_token"].startswith("pwoa_")
    assert tokens["scope"] == f"{ALWAYS} keys:read"
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 600)
    assert await whoami(web, tokens["access_token"]) == 200


async def test_the_other_surface_gives_what_it_always_gave(house: Installation, web: httpx.AsyncClient) -> None:
    codes = await start(web, SERVICE_KEYS, scope=EVERY_SCOPE)
    await approve(house, codes)
    tokens = (await poll(web, codes, SERVICE_KEYS)).json()
    assert set(tokens) == {
        "access_token", "token_type", "expires_in", "refresh_token", "refresh_token_expires_in",
        "authorization_expires_in", "scope", "org_id", "org_name",
    }  # fmt: skip
    assert header_of(tokens["access_token"])["typ"] == "at+jwt"
    assert tokens["scope"] == EVERY_SCOPE


async def test_an_id_token_is_verified_with_the_published_keys_and_opens_nothing(
    house: Installation, web: httpx.AsyncClient
) -> None:
    before = house.clock.now()
    codes = await start(web)
    house.clock.advance(5)
    await approve(house, codes)
    house.clock.advance(5)
    tokens = (await poll(web, codes)).json()
    published = KeySet.import_key_set((await web.get("/api/platform/keys")).json())
    decoded = jwt.decode(tokens["id_token"], published, algorithms=["RS256"])
    assert decoded.header["typ"] == "JWT"
    assert decoded.claims == {
        "iss": PUBLIC_URL,
        "sub": house.ada.id,
        "aud": PW,
        "exp": before + 10 + tokens["expires_in"],
        "iat": before + 10,
        "auth_time": before + 5,
        "preferred_username": "ada",
        "name": decoded.claims["name"],
        "email": "ada@example.com",
    }
    assert await whoami(web, tokens["id_token"]) == 401
    assert (await refresh(web, tokens["refresh_token"])).json().keys() == tokens.keys() - {"id_token"}


async def test_a_short_term_token_is_for_no_client_and_so_no_id_token(house: Installation) -> None:
    identity = await house.services.accounts.identity(house.ada.id, house.acme)
    assert identity is not None
    made = await house.services.tokens.issue_short_term(identity)
    published = KeySet.import_key_set(json.loads(await house.services.tokens.platform_keys()))
    claims = jwt.decode(made.token.reveal(), published, algorithms=["RS256"]).claims
    assert claims["aud"] == PUBLIC_URL
    assert "auth_time" not in claims


# Scopes


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        (None, format_scopes(READ_SCOPES)),
        ("openid profile email offline_access groups", format_scopes(READ_SCOPES)),
        ("groups  openid", format_scopes(READ_SCOPES)),
        ("openid keys:create", "keys:create"),
        (EVERY_SCOPE, EVERY_SCOPE),
    ],
)
async def test_who_signed_in_is_given_asked_for_or_not_beside_the_scopes_of_accounts(
    house: Installation, web: httpx.AsyncClient, asked: str | None, stored: str
) -> None:
    codes = await start(web, OPENID, **({} if asked is None else {"scope": asked}))
    assert await house.db.all(_ASKED, {}) == [stored]
    await approve(house, codes)
    assert (await poll(web, codes)).json()["scope"] == f"{ALWAYS} {stored}"


@pytest.mark.parametrize("scope", ["openid everything", "openid\tprofile", "OpenID", 'openid "'])
async def test_a_scope_that_there_is_not_is_refused(web: httpx.AsyncClient, scope: str) -> None:
    answer = await web.post(OPENID.device_authorization, data={"client_id": PW, "scope": scope})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


@pytest.mark.parametrize("scope", sorted(OPENID_SCOPES))
async def test_the_other_surface_knows_no_scope_of_openid(web: httpx.AsyncClient, scope: str) -> None:
    answer = await web.post(SERVICE_KEYS.device_authorization, data={"client_id": PW, "scope": f"keys:read {scope}"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


async def test_a_refresh_narrows_what_the_next_token_can_do_and_no_more_than_that(
    house: Installation, web: httpx.AsyncClient
) -> None:
    tokens = await sign_in(house, web)
    for asked, given in (("keys:read openid", "keys:read"), ("openid", ""), (None, EVERY_SCOPE)):
        tokens = (await refresh(web, tokens["refresh_token"], scope=asked)).json()
        assert tokens["scope"] == f"{ALWAYS} {given}".strip()
        found = await house.services.oauth.access.find(tokens["access_token"])
        assert found is not None
        assert format_scopes(found.scopes) == given
    more = await refresh(web, (await sign_in(house, web, "keys:read"))["refresh_token"], scope="keys:create")
    assert (more.status_code, more.json()["error"]) == (400, "invalid_scope")


# Two surfaces, one code


@pytest.mark.parametrize("issued_at", SURFACES, ids=["issued at service keys", "issued at openid"])
@pytest.mark.parametrize("polled_at", SURFACES, ids=["polled at service keys", "polled at openid"])
async def test_a_code_is_polled_for_and_redeemed_at_either_surface(
    house: Installation, web: httpx.AsyncClient, issued_at: OAuthSurface, polled_at: OAuthSurface
) -> None:
    codes = await start(web, issued_at)
    assert (await poll(web, codes, polled_at)).json()["error"] == "authorization_pending"
    house.clock.advance(codes["interval"])
    await approve(house, codes)
    tokens = (await poll(web, codes, polled_at)).json()
    assert tokens["access_token"].startswith("pwoa_" if polled_at is OPENID else "eyJ")
    for surface in (*SURFACES, *SURFACES):
        tokens = (await refresh(web, tokens["refresh_token"], surface)).json()
        assert tokens["access_token"].startswith("pwoa_" if surface is OPENID else "eyJ")
    assert (await web.post(issued_at.revoke, data={"token": tokens["refresh_token"]})).status_code == 200
    assert (await refresh(web, tokens["refresh_token"], polled_at)).json()["error"] == "invalid_grant"


async def test_a_poll_that_is_known_at_one_surface_is_told_in_the_words_of_the_other(
    house: Installation, web: httpx.AsyncClient
) -> None:
    codes = await start(web)
    told = []
    for surface in (OPENID, SERVICE_KEYS, OPENID, SERVICE_KEYS):
        told.append(await poll(web, codes, surface))
        house.clock.advance(codes["interval"])
    assert [answer.json()["error"] for answer in told] == ["authorization_pending"] * 4
    assert ["type" in answer.json() for answer in told] == [True, False, True, False]
    assert len(house.services.oauth.polls.sights) == 1
    await approve(house, codes)
    assert (await poll(web, codes)).json()["access_token"].startswith("pwoa_")


async def test_too_many_polls_over_both_surfaces_grow_one_interval(house: Installation, web: httpx.AsyncClient) -> None:
    codes = await start(web)
    errors = [(await poll(web, codes, surface)).json()["error"] for surface in (OPENID, SERVICE_KEYS, OPENID)]
    assert errors == ["authorization_pending", "slow_down", "slow_down"]


@pytest.mark.parametrize("hold", [0, 20.0], ids=["asked after the decision", "held"])
async def test_of_a_hundred_redemptions_over_both_surfaces_and_two_processes_one_succeeds(
    opened: Open, hold: float
) -> None:
    house, neighbour = opened(device_poll_hold=hold, limit_token="100000/minute"), opened()
    webs = [
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=build_application(one.services, dev=False).asgi),
            base_url=PUBLIC_URL,
            trust_env=False,
        )
        for one in (house, neighbour)
    ]
    codes = await start(webs[0])
    await approve(house, codes)
    async with asyncio.timeout(60):
        polls = [poll(webs[n % 2], codes, SURFACES[n // 2 % 2]) for n in range(100)]
        answers = await asyncio.gather(*polls)
    for web in webs:
        await web.aclose()
    assert Counter(answer.json().get("error", "tokens") for answer in answers) == {"tokens": 1, "invalid_grant": 99}
    assert await house.rows(oauth_grant) == {"oauth_grant": 1}


async def test_a_held_poll_is_answered_the_moment_the_person_decides_here_as_there(opened: Open) -> None:
    house = opened(device_poll_hold=20)
    transport = httpx.ASGITransport(app=build_application(house.services, dev=False).asgi)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, trust_env=False) as web:
        codes = await start(web)
        asking = asyncio.create_task(poll(web, codes, Prefer="wait=25"))
        await held(house)
        await approve(house, codes)
        await house.db.changes()
        async with asyncio.timeout(AT_ONCE):
            assert "id_token" in (await asking).json()


# What a device is called


async def test_the_name_of_a_device_is_kept_with_its_sign_in(house: Installation, web: httpx.AsyncClient) -> None:
    await sign_in(house, web, device_name="  ada's\u0020\u0020lapto\u0070 e\u0301 ")
    assert await house.db.all(_DEVICE_NAMES, {}) == ["ada's laptop \u00e9"]


@pytest.mark.parametrize("surface", SURFACES, ids=["service keys", "openid"])
@pytest.mark.parametrize("name", ["x" * 65, "two\nlines", "\u202eleft", "\x1b[31m", "\ud7ff\u200b"])
async def test_a_name_of_a_device_that_cannot_be_shown_is_refused(
    house: Installation, web: httpx.AsyncClient, surface: OAuthSurface, name: str
) -> None:
    answer = await web.post(surface.device_authorization, data={"client_id": PW, "device_name": name})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await house.rows(device_authorization) == {"device_authorization": 0}


async def test_a_device_without_a_name_has_none(house: Installation, web: httpx.AsyncClient) -> None:
    await sign_in(house, web, device_name="   ")
    await sign_in(house, web)
    assert await house.db.all(Query(select(oauth_grant.c.device_name.is_(None)), bool), {}) == [True, True]


# Taking back


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_revoking_either_token_ends_the_whole_sign_in(
    house: Installation, web: httpx.AsyncClient, which: str
) -> None:
    first = await sign_in(house, web)
    second = (await refresh(web, first["refresh_token"])).json()
    answer = await web.post(OPENID.revoke, data={"token": second[which], "token_type_hint": "x", "client_id": PW})
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert [await whoami(web, one["access_token"]) for one in (first, second)] == [401, 401]
    assert (await refresh(web, second["refresh_token"])).json()["error"] == "invalid_grant"
    assert len(await house.events("grant:revoke")) == 1


async def test_revoking_what_is_no_token_is_no_error_and_ends_nothing(
    house: Installation, web: httpx.AsyncClient
) -> None:
    tokens = await sign_in(house, web)
    access = tokens["access_token"]
    for text in (
        "x",
        "pwoa_",
        access[:-1],
        access + "A",
        access[:-1] + ("A" if access[-1] != "A" else "B"),
        "pwr_" * 9,
    ):
        answer = await web.post(OPENID.revoke, data={"token": text})
        assert (answer.status_code, answer.json()) == (200, {})
    assert await whoami(web, access) == 200
    missing = await web.post(OPENID.revoke, data={"token": "", "refresh_token": tokens["refresh_token"]})
    assert (missing.status_code, missing.json()["error"]) == (400, "invalid_request")
    assert await whoami(web, access) == 200


# What is refused


FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


REFUSED: Final = (
    (OPENID.token, "", 400, "invalid_request"),
    (OPENID.revoke, "", 400, "invalid_request"),
    (OPENID.device_authorization, "", 400, "invalid_request"),
    (OPENID.device_authorization, "client_id=nobody", 401, "invalid_client"),
    (OPENID.token, "grant_type=authorization_code&code=x", 400, "unsupported_grant_type"),
    (
        OPENID.token,
        "grant_type=urn:ietf:params:oauth:grant-type:token-exchange&subject_token=x",
        400,
        "unsupported_grant_type",
    ),
    (OPENID.token, "grant_type=client_credentials", 400, "unsupported_grant_type"),
    (OPENID.token, f"grant_type={DEVICE_CODE}&client_id={PW}", 400, "invalid_request"),
    (OPENID.token, f"grant_type={DEVICE_CODE}&client_id={PW}&device_code=x", 400, "invalid_grant"),
    (OPENID.token, f"grant_type={DEVICE_CODE}&client_id=nobody&device_code=x", 401, "invalid_client"),
    (OPENID.token, "grant_type=refresh_token&refresh_token=x", 400, "invalid_grant"),
    (OPENID.token, "grant_type=refresh_token&grant_type=refresh_token", 400, "invalid_request"),
    (OPENID.token, "grant_type=refresh_token&refresh_token=a%00b", 400, "invalid_request"),
    (OPENID.token, "grant_type=%ff", 400, "invalid_request"),
    (OPENID.revoke, "token=a&token=b", 400, "invalid_request"),
    (OPENID.revoke, "token=a%00", 400, "invalid_request"),
    (OPENID.device_authorization, f"client_id={PW}&device_name=a%00", 400, "invalid_request"),
)


async def test_a_refusal_is_oauths_and_a_problem_in_one_body(web: httpx.AsyncClient) -> None:
    for path, form, status, error in REFUSED:
        answer = await web.post(path, content=form, headers=FORM)
        body = answer.json()
        assert (answer.status_code, body["error"], body["status"]) == (status, error, status), (path, form)
        assert body["message"] == body["detail"]
        assert body["error_description"]
        check_refusal(answer)


async def test_json_is_not_read_where_forms_are(web: httpx.AsyncClient) -> None:
    for path in (OPENID.token, OPENID.revoke, OPENID.device_authorization):
        answer = await web.post(path, json={"grant_type": "refresh_token", "client_id": PW, "token": "x"})
        assert (answer.status_code, answer.json()["error"]) == (415, "invalid_request")
        check_refusal(answer)


async def test_only_post_is_answered(web: httpx.AsyncClient) -> None:
    for path in (OPENID.token, OPENID.revoke, OPENID.device_authorization):
        answer = await web.get(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        check_refusal(answer)
