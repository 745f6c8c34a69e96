from tests.browser.chromium import PHONE, check_accessible, check_fits
from tests.factors.authenticator import Authenticator

PATH = "/settings/security"


def test_x(site, opened):
    person = site.newcomer("zz-scratch")

    async def add(services):
        user = (await services.accounts.user_by_name("zz-scratch")).id
        for n in range(20):
            o = services.factors.registration_options(user, "x", ())
            a = Authenticator(site.origin).create(o.json)
            await services.factors.add_passkey(
                user,
                a,
                o.challenge,
                ("W" * 62 + f"{n:02}") if n % 2 else f"Passkey with a long name, number {n} of many for looking",
            )

    p = opened(person)
    site.do(add)
    q = opened(person, size=PHONE)
    for x in (p, q):
        x.go(PATH)
        check_accessible(x.page)
        check_fits(x.page)
        x.page.screenshot(path=f"/tmp/a-20-{'d' if x is p else 'p'}.png", full_page=True)
    p.go(PATH + "/passkeys/new")
    p.page.fill("#name", "W" * 64)
    p.page.fill("#current_password", person.password)
    p.page.click("text=Continue")
    check_fits(p.page)
    for name in ("NotAllowedError", "InvalidStateError", "SecurityError", "NotSupportedError", "Weird"):
        p.page.evaluate(f"navigator.credentials.create = async () => {{ throw new DOMException('x', '{name}') }}")
        p.page.click("main button:has-text('Make the passkey')")
        p.page.wait_for_selector("[data-passkey-error]:not([hidden])")
        print(name, p.page.inner_text("[data-passkey-error]"))
