"""Which credential is used, and for which server, in the documented order; and the command line's quick answer."""

import ast
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from keystead.client import _quick
from keystead.client._credentials import ApiKeyCredential, BearerCredential, StoredCredential
from keystead.client._environment import find_credential, overrides
from keystead.client._errors import InsecureAddress, SignInRequired, UsageError
from keystead.client._quick import valid_token
from keystead.client._store import SignIn, Store
from keystead.kernel.secrets import Secret, new_api_key
from tests.client.store.conftest import environment
from tests.client.store.refreshing import refresh, rewrite
from tests.client.store.test_file import tokens

SERVER = "https://auth.example.com"
KEY = new_api_key("pwt", SERVER).reveal()


def jwt(**claims: Any) -> str:
    """Return what looks like a signed token."""
    parts = (json.dumps({"alg": "RS256"}), json.dumps(claims), "signature")
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store with two sign-ins at one server and one at another, the current one."""
    opened = Store.open(tmp_path / "keystead", environ=environment(tmp_path))
    later = int(time.time()) + 600
    for name, server in (("ada", SERVER), ("bob", SERVER), ("eve", "https://b.example")):
        opened.save(SignIn(server, "c", name, name, name=name), tokens(name, expires_at=later))
    return opened


def named(store: Store, **given: Any) -> str:
    """Return which credential was found, in a few words."""
    environ = given.pop("environ", {})
    found = find_credential(environ=environ, store=store, refresh=refresh, **given)
    if isinstance(found, StoredCredential):
        return f"{found.name} at {found.server}"
    value = found.authorization().reveal()
    kind, _, rest = value.partition(" ")
    text = base64.b64decode(rest).decode().removesuffix(":") if kind == "Basic" else rest
    return f"{kind} {text} at {found.server}"


def test_the_environment_and_the_store_are_looked_at_in_the_documented_order(store: Store) -> None:
    token = jwt(platform_host="auth.example.com")
    environ = {
        "KEYSTEAD_TOKEN": token,
        "KEYSTEAD_API_KEY": KEY,
        "PW_API_KEY": KEY + "x",
        "KEYSTEAD_CONTEXT": "bob",
    }
    given = jwt(platform_host="given.example")
    assert named(store, environ=environ, token=given) == f"Bearer {given} at https://given.example"
    assert named(store, environ=environ, api_key=KEY) == f"Basic {KEY} at {SERVER}"
    found = []
    for variable in tuple(environ):
        found.append(named(store, environ=environ, context=None))
        environ[variable] = " "
    found.append(named(store, environ=environ))
    assert found == [
        f"Bearer {token} at {SERVER}",
        f"Basic {KEY} at {SERVER}",
        f"Basic {KEY}x at {SERVER}",
        f"bob at {SERVER}",
        "eve at https://b.example",
    ]
    assert named(store, environ={"KEYSTEAD_CONTEXT": "bob"}, context="ada") == f"ada at {SERVER}"


@pytest.mark.parametrize("variable", ["KEYSTEAD_TOKEN", "PW_API_KEY"])
def test_a_variable_for_either_kind_sends_a_token_as_bearer(store: Store, variable: str) -> None:
    token = jwt(platform_host="http://localhost:8080")
    assert named(store, environ={variable: f" {token}\n"}) == f"Bearer {token} at http://localhost:8080"


def test_the_server_is_looked_for_in_the_documented_order(store: Store) -> None:
    environ = {"KEYSTEAD_TOKEN": jwt(platform_host="inside.example"), "PW_PLATFORM_HOST": "host.example"}
    assert named(store, environ=environ).endswith(" at https://inside.example")
    environ["KEYSTEAD_TOKEN"] = "opaque"
    assert named(store, environ=environ).endswith(" at https://host.example")
    environ["KEYSTEAD_URL"] = "https://url.example/"
    assert named(store, environ=environ).endswith(" at https://url.example")
    assert named(store, environ=environ, server="given.example").endswith(" at https://given.example")
    with pytest.raises(UsageError, match="The credential in PW_API_KEY does not say which server"):
        named(store, environ={"PW_API_KEY": "opaque"})


@pytest.mark.parametrize("broken", ["pwt_.abc", "pwt_!!!.abc", "a.b.c", "pwt_", "..", "\udcff.\udcff.x"])
def test_a_credential_that_names_no_server_is_a_clear_error(store: Store, broken: str) -> None:
    with pytest.raises(UsageError, match="server"):
        named(store, api_key=broken)


def test_a_server_over_plain_http_beyond_this_machine_is_refused(store: Store) -> None:
    with pytest.raises(InsecureAddress):
        named(store, token=jwt(platform_host="http://auth.example.com"))


def test_a_stored_sign_in_is_sent_to_no_other_server(store: Store) -> None:
    assert named(store, server="https://b.example") == "eve at https://b.example"
    with pytest.raises(
        UsageError, match=r"is one at https://auth\.example\.com, and is not sent to https://b\.example"
    ):
        named(store, server="https://b.example", context="ada")
    with pytest.raises(UsageError, match=r"several sign-ins at https://auth\.example\.com: ada, bob"):
        named(store, environ={"KEYSTEAD_URL": SERVER})
    with pytest.raises(SignInRequired, match=r"Nobody is signed in at https://c\.example") as told:
        named(store, server="c.example")
    assert told.value.hint == "Sign in: keystead login https://c.example"
    store.select("bob")
    assert named(store, environ={"KEYSTEAD_URL": SERVER}) == f"bob at {SERVER}"


def test_a_sign_in_that_is_named_comes_before_the_environment(store: Store) -> None:
    environ = {"KEYSTEAD_TOKEN": "somebody.elses.token", "PW_API_KEY": KEY, "KEYSTEAD_CONTEXT": "bob"}
    assert named(store, environ=environ, context="ada").startswith("ada at ")
    assert [(one.variable, one.used) for one in overrides(environ, context="ada")] == [
        ("KEYSTEAD_TOKEN", False),
        ("PW_API_KEY", False),
        ("KEYSTEAD_CONTEXT", False),
    ]


def test_two_credentials_and_empty_ones_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="One request carries one credential"):
        named(store, token="a", api_key="b")
    with pytest.raises(UsageError, match="is empty"):
        named(store, token=Secret(" "))


def test_what_overrides_what_is_told() -> None:
    environ = {
        "KEYSTEAD_API_KEY": KEY,
        "PW_API_KEY": KEY,
        "KEYSTEAD_CONTEXT": "ada",
        "KEYSTEAD_URL": SERVER,
        "PW_PLATFORM_HOST": "b",
    }
    told = [(one.variable, one.used) for one in overrides(environ)]
    assert told == [
        ("KEYSTEAD_API_KEY", True),
        ("PW_API_KEY", False),
        ("KEYSTEAD_CONTEXT", False),
        ("KEYSTEAD_URL", True),
        ("PW_PLATFORM_HOST", False),
    ]
    assert KEY not in "".join(one.sentence for one in overrides(environ))
    assert overrides({}) == ()
    assert [one.sentence for one in overrides({"KEYSTEAD_CONTEXT": "ada"})] == [
        "KEYSTEAD_CONTEXT is set, and chooses the stored sign-in 'ada'."
    ]


def test_no_credential_shows_its_secret() -> None:
    shown = f"{ApiKeyCredential(SERVER, Secret(KEY))!r} {BearerCredential(SERVER, Secret('secret-token'))!r}"
    assert KEY not in shown
    assert "secret-token" not in shown


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        ({"KEYSTEAD_CONFIG_DIR": "/a/b", "XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/a/b"),
        ({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}, "/x/keystead"),
        ({"XDG_CONFIG_HOME": "x", "HOME": "/h"}, "/h/.config/keystead"),
        ({"HOME": "/h"}, "/h/.config/keystead"),
    ],
)
def test_the_store_is_where_the_environment_says(environ: dict[str, str], place: str) -> None:
    assert _quick.directory(environ) == place
    assert Store.open(environ=environ).paths.directory == Path(place)


# The quick answer


@pytest.fixture
def quick(store: Store, tmp_path: Path) -> dict[str, str]:
    """Give the environment in which the quick answer looks at the store."""
    assert store.current() == "eve"
    return {"KEYSTEAD_CONFIG_DIR": str(tmp_path / "keystead")}


def test_the_quick_answer_is_the_stored_token_of_the_chosen_context(store: Store, quick: dict[str, str]) -> None:
    expires_at = store.context("eve").access_token_expires_at
    assert valid_token(None, quick) == ("access-eve", expires_at)
    assert valid_token("ada", quick) == ("access-ada", expires_at)
    assert valid_token(None, {**quick, "KEYSTEAD_CONTEXT": "bob"}) == ("access-bob", expires_at)
    assert valid_token("ada", {**quick, "KEYSTEAD_CONTEXT": "bob"}) == ("access-ada", expires_at)


@pytest.mark.parametrize("variable", ["KEYSTEAD_TOKEN", "KEYSTEAD_API_KEY", "PW_API_KEY", "KEYSTEAD_URL"])
def test_there_is_no_quick_answer_when_a_variable_comes_before_the_store(quick: dict[str, str], variable: str) -> None:
    assert valid_token(None, {**quick, variable: ""}) is not None
    assert valid_token(None, {**quick, variable: "x"}) is None


@pytest.mark.parametrize(
    "members",
    [
        {"access_token_expires_at": 0},
        {"access_token_expires_at": "soon"},
        {"access_token": ""},
        {"access_token": None},
        {"access_token_issued_at": None},
        {"access_token_issued_at": 4_000_000_000, "access_token_expires_at": 4_000_000_600},
    ],
)
def test_there_is_no_quick_answer_for_a_token_that_is_not_surely_good(
    quick: dict[str, str], members: dict[str, Any]
) -> None:
    rewrite(Path(quick["KEYSTEAD_CONFIG_DIR"]), "eve", **members)
    assert valid_token(None, quick) is None


def test_a_token_that_is_due_gets_no_quick_answer_and_one_that_is_not_always_does(quick: dict[str, str]) -> None:
    directory, now = Path(quick["KEYSTEAD_CONFIG_DIR"]), int(time.time())
    rewrite(directory, "eve", access_token_issued_at=now - 9_600, access_token_expires_at=now + 400)
    assert {valid_token(None, quick) for _ in range(50)} == {None}
    rewrite(directory, "eve", access_token_issued_at=now - 7_000, access_token_expires_at=now + 3_000)
    assert None not in {valid_token(None, quick) for _ in range(50)}
    rewrite(directory, "eve", access_token_issued_at=now - 8_750, access_token_expires_at=now + 1_250)
    assert len({valid_token(None, quick) for _ in range(200)}) == 2, "in between it is a matter of chance"


@pytest.mark.parametrize(
    ("life", "left", "given"), [(600, 74, False), (600, 125, True), (90, 44, False), (90, 47, True)]
)
def test_a_token_that_is_handed_on_has_more_than_a_minute_left_or_half_of_its_life(
    quick: dict[str, str], life: int, left: int, given: bool
) -> None:
    now = int(time.time())
    moments = {"access_token_issued_at": now + left - life, "access_token_expires_at": now + left}
    rewrite(Path(quick["KEYSTEAD_CONFIG_DIR"]), "eve", **moments)
    assert {valid_token(None, quick) is not None for _ in range(50)} == {given}


@pytest.mark.parametrize(
    ("now", "left"), [(940.0, 59), (940.1, 59), (940.9, 59), (999.5, 0), (1_000.0, 0), (2_000.0, 0)]
)
def test_the_lifetime_that_is_told_is_never_longer_than_the_token_works(now: float, left: int) -> None:
    assert _quick.seconds_left(1_000, now) == left


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 2}', '{"version": 1, "contexts": {"eve": 3}}'])
def test_there_is_no_quick_answer_from_a_file_that_is_not_understood(quick: dict[str, str], content: str) -> None:
    (Path(quick["KEYSTEAD_CONFIG_DIR"]) / "credentials.json").write_text(content)
    assert valid_token(None, quick) is None
    assert valid_token("eve", quick) is None


def test_there_is_no_quick_answer_where_others_can_read_the_file_or_there_is_none(quick: dict[str, str]) -> None:
    path = Path(quick["KEYSTEAD_CONFIG_DIR"]) / "credentials.json"
    assert valid_token("nobody", quick) is None
    path.chmod(0o640)
    assert valid_token(None, quick) is None
    path.unlink()
    assert valid_token(None, quick) is None


def test_the_quick_answer_imports_json_os_and_time_only() -> None:
    tree = ast.parse(Path(_quick.__file__).read_text(encoding="utf-8"))
    at_run_time = [node for node in tree.body if not isinstance(node, ast.If)]
    imports = [node for part in at_run_time for node in ast.walk(part) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["import json", "import os", "import time"]
