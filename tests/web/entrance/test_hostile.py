"""Whatever is sent to the entrance, it is refused in words and costs no fault."""

from typing import Final

import pytest

from tests.support.installation import PUBLIC_URL
from tests.web.entrance.guest import Guest, give_app, require_second_factor

LONG: Final = "x" * 20_000
BODIES: Final = {
    "nothing": b"",
    "not a form": b"\x00\xff\xfe",
    "no UTF-8": b"username=%ff%fe&email=%ff&code=%ff&password=%ff",
    "NUL": b"username=a%00b&email=a%00b&code=%00&password=%00",
    "twice": b"email=a%40example.com&email=b%40example.com&code=1&code=2",
    "long": "&".join(
        f"{name}={LONG}" for name in ("email", "username", "password", "code", "recovery_code", "answer", "sealed")
    ).encode()[:60_000],
    "strange": (
        b"username=%F0%9F%98%80&email=%E2%80%AE%40example.com&password=%E2%80%AE&name=%E2%80%AE&code=%D9%A1%D9%A2%D9%A3"
        b"&recovery_code=%EF%BC%A1&answer=%7B%22id%22%3A1%7D&challenge=..&sealed=%3D%3D&organization=%00"
    ),
    "JSON in a form": b'answer={"id":"AAAA","rawId":"AAAA","type":"public-key","response":null}&challenge=1.AAAA.BBBB',
    "deep": b"answer=" + b"[" * 5_000,
    "elsewhere": b"next=%2F%2Fevil.example&email=nobody%40example.com&username=nobody&password=nothing",
}
PATHS: Final = (
    "/sign-in",
    "/sign-in/second-factor",
    "/sign-in/enrol",
    "/sign-in/passkey",
    "/sign-in/forgot",
    "/sign-in/reset/x",
    "/sign-up",
    "/sign-up/x",
    "/invitation/x/accept",
    "/invitation/x/join",
    "/settings/switch",
    "/sign-out",
)
FORM: Final = "application/x-www-form-urlencoded"


async def statuses(guest: Guest, path: str, **headers: str) -> list[int]:
    """Send every body to a path, with the guest's cookies, and return what came of each."""
    found = []
    mine = "; ".join(f"{name}={value}" for name, (value, _) in guest.cookies.items())
    for kind in (FORM, "application/json", "multipart/form-data", ""):
        for body in BODIES.values():
            sent = {"Content-Type": kind, "Origin": PUBLIC_URL, "Cookie": mine, "Accept": "text/html", **headers}
            guest.node.http.cookies.clear()
            answer = await guest.node.http.post(path, content=body, headers=sent)
            found.append(answer.status_code)
            assert "evil.example" not in answer.headers.get("location", "")
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_no_form_of_the_entrance_costs_a_fault_to_somebody_without_cookies(visitor: Guest, path: str) -> None:
    assert max(await statuses(visitor, path)) < 500


@pytest.mark.parametrize("path", ["/sign-in/second-factor", "/sign-in/enrol"])
async def test_no_form_of_a_step_costs_a_fault(guest: Guest, path: str) -> None:
    if path.endswith("enrol"):
        await require_second_factor(guest.node)
    else:
        await give_app(guest.node, guest.node.house.ada.id)
    page = await guest.password()
    token = page.form("form_token").values("form_token")[0]
    assert max(await statuses(guest, path)) < 500
    for body in BODIES.values():
        form = {"form_token": token, "code": body.decode("latin-1")[:2_000], "sealed": body.decode("latin-1")[:2_000]}
        guest.node.house.clock.advance(10)
        assert (await guest.send("POST", path, form)).status_code < 500


@pytest.mark.parametrize("path", ["/invitation/x/accept", "/settings/switch", "/sign-out", "/sign-in/second-factor"])
async def test_no_form_costs_a_fault_to_somebody_who_is_signed_in(guest: Guest, path: str) -> None:
    await guest.password()
    assert max(await statuses(guest, path)) < 500
    assert await guest.node.check_session(guest.session) == 200


@pytest.mark.parametrize("name", ["cloud.step", "cloud.entrance", "cloud.invitation", "keystead.device", "cloud.sso"])
async def test_no_cookie_costs_a_fault(guest: Guest, name: str) -> None:
    for value in ("", "x", "\x7f", "kst_" + "a" * 45, "x" * 5_000, "../..", "a=b", '"'):
        for path in ("/sign-in", "/sign-in/second-factor", "/sign-in/enrol", "/sign-in/passkey", "/invitation"):
            answer = await guest.node.http.get(path, headers={"Cookie": f"{name}={value}", "Accept": "text/html"})
            assert answer.status_code < 500


async def test_other_credentials_are_refused_at_every_page_of_the_entrance(visitor: Guest) -> None:
    token = await visitor.node.access_token("keys:read")
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/html"}
    pages = ("/sign-in", "/sign-in/second-factor", "/sign-in/enrol", "/sign-in/passkey", "/sign-in/forgot", "/sign-up")
    links = ("/sign-in/reset/x", "/sign-up/x", "/invitation/x")
    answers = [await visitor.node.http.get(path, headers=headers) for path in (*pages, *links)]
    assert {answer.status_code for answer in answers} == {403}
