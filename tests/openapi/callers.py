"""Who calls an operation while it is explored, and what makes a request fit that a schema cannot make fit."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tests.openapi.conftest import Opened
from tests.openapi.exceptions import REFUSED, configured
from tests.openapi.exploration import Case, Credential, Credentials, Exploration, explore, part_of
from tests.support.server import ADA, Person

GOOD_PASSWORD: Final = "Seven 7 swans, and no two alike"


def bearer(opened: Opened) -> Credential:
    return {"Authorization": f"Bearer {opened.token}"}


def basic(opened: Opened) -> Credential:
    return {"Authorization": f"Basic {b64encode(f'{opened.api_key}:'.encode()).decode()}"}


def cookie(opened: Opened, person: Person = ADA) -> Credential:
    return {"cookie:cloud.sso": opened.session(person)}


def by(credential: Credential, operations: Iterable[str]) -> dict[str, Callable[[], Credential]]:
    """Return that these operations are all called with one credential."""
    return dict.fromkeys(operations, lambda: credential)


def explore_group(
    opened: Opened,
    group: set[str],
    credentials: Mapping[str, Callable[[], Credential]],
    make_fit: Callable[[Case], None] | None = None,
) -> Exploration:
    """Explore a group of the operations of /openapi.json; what is not in ``credentials`` is for everybody."""
    document = part_of(opened.http.get("/openapi.json").json(), group)
    return explore(document, opened.server.url, Credentials(credentials), configured(), make_fit)


def unexplained(found: Exploration) -> str:
    return f"{len(found.failures)} failures\n\n" + "\n".join(sorted(set(found.failures)))


def never_done(found: Exploration) -> dict[str, dict[int, int]]:
    """Return the operations that made-up values should have brought to a success, and did not."""
    return {
        operation: dict(statuses)
        for operation, statuses in found.answers.items()
        if operation not in REFUSED and not any(200 <= status < 300 for status in statuses)
    }


def in_real_places(places: Mapping[str, Iterable[Mapping[str, str]]]) -> Callable[[Case], None]:
    """Return what lets the first requests that fit name what is there: no answer of the same group leads to it."""
    waiting = {operation: list(parameters) for operation, parameters in places.items()}

    def mend(case: Case) -> None:
        if waiting.get(case.operation.label):
            case.path_parameters = dict(waiting[case.operation.label].pop())

    return mend


def with_good_passwords(case: Case) -> None:
    """Give new passwords what they need: a rule about the characters in them is no pattern that can be made up."""
    if isinstance(case.body, dict) and isinstance(case.body.get("newPassword"), str):
        case.body["newPassword"] = GOOD_PASSWORD
        if "confirmPassword" in case.body:
            case.body["confirmPassword"] = GOOD_PASSWORD


def with_plain_seconds(case: Case) -> None:
    """Write 900.0 seconds as 900: the server tells them apart, and no schema can (JSON Schema, section 4.2.3)."""
    seconds = case.body.get("expiresIn") if isinstance(case.body, dict) else None
    if isinstance(case.body, dict) and isinstance(seconds, float):
        case.body["expiresIn"] = int(seconds)


def fit_to_be_shown(case: Case) -> None:
    """Give clients and devices names and platforms that can be shown: which can is Unicode's to say."""
    if not isinstance(case.body, dict):
        return
    _show(case.body, "device_name", "reason")
    if case.operation.label != "POST /getServiceKeys/register":
        return
    _show(case.body, "client_name")
    platform = case.body.get("platform")
    if isinstance(platform, dict):
        for key, value in platform.items():
            if key in {"system", "machine"} and isinstance(value, str):
                platform[key] = shown(value)


def _show(body: dict[str, Any], *names: str) -> None:
    for name in names:
        if isinstance(body.get(name), str):
            body[name] = shown(body[name])[:20].strip() or "x"


def shown(text: str) -> str:
    return "".join(character if character.isprintable() else "x" for character in text)
