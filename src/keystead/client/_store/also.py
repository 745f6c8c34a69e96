"""The files of the two clients that existed before, which get a sign-in too when that is asked for (contract A10, B2).

Two programs then share one family of refresh tokens. ``parallel-cli`` renews by itself, without a lock: so its file is
read again before each renewal of ours, a newer set found there is taken over, and each new set of ours is written there
at once. ``pw`` and the ACTIVATE SDK get no refresh token: their context has ``oauth``, so that they ask a command line
for tokens. What else is in the files stays, and what another program signed in for itself is left alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from keystead.client._claims import claims_of
from keystead.client._errors import StoreError, UsageError
from keystead.client._models import TokenSet
from keystead.client._store.contexts import Context, SignIn
from keystead.client._store.file import damaged, make_directory, prove_room, read_object, write_object
from keystead.client._store.paths import parallel_cli_file, parallel_cli_old_file, pw_file, pw_old_file
from keystead.kernel.secrets import Secret

PARALLEL_CLI: Final = "parallel-cli"
PW: Final = "pw"
PROGRAMS: Final = (PARALLEL_CLI, PW)
_OLD_ORGANIZATION: Final = "legacy"
_OURS: Final = "keystead"


@dataclass(frozen=True, slots=True)
class Given:
    """What a program is given: the context, and its refresh token wherever that is kept."""

    context: Context
    refresh_token: Secret | None


class _File(Protocol):
    path: Path

    def check(self, coming: SignIn | None, organization_id: str) -> None:
        """Refuse a file that cannot be understood, or has no place for a sign-in."""

    def put(self, given: Given) -> None:
        """Add the sign-in, and select it."""

    def renew(self, given: Given) -> None:
        """Replace the tokens of the sign-in, if it is still there."""

    def newer(self, given: Given) -> TokenSet | None:
        """Return what the other program has renewed meanwhile."""

    def tokens(self, context: Context) -> list[Secret]:
        """Return the refresh tokens of the sign-in that are there."""

    def take_out(self, context: Context) -> None:
        """Remove the sign-in."""


class Also:
    """The files of other programs, by the names of the programs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """``environ`` says where the files are, by the rules of each program."""
        self._files: dict[str, _File] = {PARALLEL_CLI: _ParallelCli(environ), PW: _Pw(environ)}

    def check(self, names: Iterable[str], coming: SignIn | None = None, organization_id: str = "") -> None:
        """Refuse a program that nobody knows, or a file that cannot be written, or has no place for who is coming.

        Raises UsageError and StoreError, and writes nothing.
        """
        for name in names:
            if name not in self._files:
                raise UsageError(f"There is no program '{name}' to share with. There are: {', '.join(PROGRAMS)}.")
            file = self._files[name]
            make_directory(file.path.parent)
            file.check(coming, organization_id)
            prove_room(file.path)

    def path(self, name: str) -> Path:
        """Return a program's file."""
        return self._files[name].path

    def put(self, given: Given) -> None:
        """Add a sign-in to the files of its programs, and select it there. Raises StoreError."""
        for file in self._of(given.context):
            make_directory(file.path.parent)
            file.put(given)

    def renew(self, given: Given) -> None:
        """Replace the tokens of a sign-in where it is. Raises StoreError."""
        for file in self._of(given.context):
            file.renew(given)

    def newer(self, given: Given) -> TokenSet | None:
        """Return the set to which another program has renewed this sign-in, None when there is none."""
        found = (file.newer(given) for file in self._of(given.context))
        return next((tokens for tokens in found if tokens is not None), None)

    def tokens(self, context: Context) -> list[Secret]:
        """Return every refresh token of a sign-in that other programs hold."""
        return [token for file in self._of(context) for token in file.tokens(context)]

    def prove_room(self, context: Context) -> None:
        """Make sure that the files can be written. Raises StoreError."""
        for file in self._of(context):
            if file.path.parent.is_dir():
                prove_room(file.path)

    def take_out(self, context: Context) -> None:
        """Remove a sign-in from the files of its programs. Raises StoreError."""
        for file in self._of(context):
            file.take_out(context)

    def _of(self, context: Context) -> list[_File]:
        return [self._files[name] for name in context.also if name in self._files]


class _ParallelCli:
    """parallel-cli's ``auth.json`` (contract A10): one entry for each organization, one client id for all of them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = parallel_cli_file(environ)
        self._old = parallel_cli_old_file(environ)

    def check(self, coming: SignIn | None, organization_id: str) -> None:
        content = self._read()
        others = [
            name
            for name, entry in content["orgs"].items()
            if name != organization_id and (entry.get("control_api") or {}).get("refresh_token")
        ]
        if coming is not None and others and content["client_id"] not in {None, coming.client_id}:
            raise StoreError(
                f"parallel-cli is signed in to another organization already, as another client, and its file "
                f"{self.path} has room for one client. It was left as it is.",
                hint="Sign that out first: parallel-cli logout",
            )

    def put(self, given: Given) -> None:
        content = self._read()
        context, orgs = given.context, content["orgs"]
        entry = orgs.setdefault(context.organization_id, {"api_key": None})
        entry["org_name"] = context.organization
        entry["control_api"] = _control_api(given)
        write_object(self.path, {**content, "selected_org_id": context.organization_id, "client_id": context.client_id})

    def renew(self, given: Given) -> None:
        content = self._read()
        entry = content["orgs"].get(given.context.organization_id) or {}
        if not _same_sign_in(entry.get("control_api"), given.context):
            return
        entry["control_api"] = _control_api(given)
        write_object(self.path, content)

    def newer(self, given: Given) -> TokenSet | None:
        context = given.context
        entry = self._read()["orgs"].get(context.organization_id) or {}
        theirs = entry.get("control_api") or {}
        if not _same_sign_in(theirs, context) or not theirs.get("refresh_token"):
            return None
        token = Secret(str(theirs["refresh_token"]))
        ends = (_seconds(theirs, "refresh_token_expires_at"), _seconds(theirs, "access_token_expires_at"))
        ours = (context.refresh_token_expires_at, context.access_token_expires_at)
        # Not by the access token alone: its end may have been changed by hand to have it renewed. Where two sets were
        # made in one second theirs is taken: we write ours there at once, so theirs is hardly ever the older one.
        if token == given.refresh_token or ends < ours:
            return None
        return TokenSet(
            access_token=Secret(str(theirs["access_token"])),
            expires_at=ends[1],
            refresh_token=token,
            refresh_expires_at=ends[0],
            authorization_expires_at=_seconds(theirs, "authorization_expires_at"),
            scopes=tuple(theirs.get("access_token_scopes") or ()),
            organization_id=context.organization_id,
            organization=context.organization,
        )

    def tokens(self, context: Context) -> list[Secret]:
        entry = self._read()["orgs"].get(context.organization_id) or {}
        theirs = entry.get("control_api") or {}
        kept = theirs.get("refresh_token")
        return [Secret(str(kept))] if kept and _same_sign_in(theirs, context) else []

    def take_out(self, context: Context) -> None:
        content = self._read()
        orgs = content["orgs"]
        entry = orgs.get(context.organization_id) or {}
        if not _same_sign_in(entry.get("control_api"), context):
            return
        if entry.get("api_key"):  # a key that parallel-cli made is a credential of its own
            entry["control_api"] = _control_api(None)
        else:
            del orgs[context.organization_id]
            if content["selected_org_id"] == context.organization_id:
                content["selected_org_id"] = None
        write_object(self.path, content)

    def _read(self) -> dict[str, Any]:
        """Return the file's content in the shape of version 1, with a key from an older version where that is all."""
        content = read_object(self.path)
        if content is None:
            content = read_object(self._old) or {}
            content.setdefault("access_token", None)
        if "version" not in content:
            key = content.get("access_token")
            content = {
                "version": 1,
                "selected_org_id": _OLD_ORGANIZATION if key else None,
                "orgs": {_OLD_ORGANIZATION: _old_entry(key)} if key else {},
            }
        whole: dict[str, Any] = {"selected_org_id": None, "client_id": None, **content}
        if whole.get("orgs") is None:
            whole["orgs"] = {}
        if not isinstance(whole["orgs"], dict) or not all(isinstance(one, dict) for one in whole["orgs"].values()):
            raise damaged(self.path)
        return whole


class _Pw:
    """The contexts of ``pw`` and the ACTIVATE SDK (contract B2)."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.path = pw_file(environ)
        self._old = pw_old_file(environ)

    def check(self, coming: SignIn | None, organization_id: str) -> None:
        name = None if coming is None else coming.context
        kept = self._read()["identities"].get(name)
        if kept is not None and not _is_ours(kept):
            raise StoreError(
                f"pw has a context '{name}' of its own in {self.path}. It was left as it is.",
                hint="Choose another name for the context: keystead login --context NAME",
            )

    def put(self, given: Given) -> None:
        content = self._read()
        context = given.context
        content["identities"][context.name] = _identity(given)
        write_object(self.path, {**content, "currentIdentity": context.name})

    def renew(self, given: Given) -> None:
        content = self._read()
        kept = content["identities"].get(given.context.name)
        if kept is not None and _is_ours(kept):
            content["identities"][given.context.name] = {**kept, **_identity(given)}
            write_object(self.path, content)

    def newer(self, given: Given) -> None:
        return None

    def tokens(self, context: Context) -> list[Secret]:
        return []

    def take_out(self, context: Context) -> None:
        content = self._read()
        kept = content["identities"].get(context.name)
        if kept is None or not _is_ours(kept):
            return
        del content["identities"][context.name]
        if content.get("currentIdentity") == context.name:
            content["currentIdentity"] = ""
        write_object(self.path, content)

    def _read(self) -> dict[str, Any]:
        content = _object_or_nothing(self.path)
        if content is None and self._old is not None:
            content = _object_or_nothing(self._old)
        whole: dict[str, Any] = {"currentIdentity": "", **(content or {})}
        if whole.get("identities") is None:
            whole["identities"] = {}
        if not isinstance(whole["identities"], dict):
            raise damaged(self.path)
        return whole


def _object_or_nothing(path: Path) -> dict[str, Any] | None:
    """Return the object in a file; a file that is empty is like none, as ``pw`` reads it."""
    try:
        if not path.read_bytes().strip():
            return None
    except OSError:
        pass  # told by what follows, in a sentence
    return read_object(path)


def _control_api(given: Given | None) -> dict[str, Any]:
    """Return the tokens in parallel-cli's form, all empty for None."""
    context = None if given is None else given.context
    token = None if given is None or given.refresh_token is None else given.refresh_token.reveal()
    return {
        "access_token": None if context is None else context.access_token.reveal(),
        "access_token_expires_at": None if context is None else context.access_token_expires_at,
        "access_token_scopes": [] if context is None else list(context.scopes),
        "refresh_token": token,
        "refresh_token_expires_at": None if context is None else context.refresh_token_expires_at,
        "authorization_expires_at": None if context is None else context.authorization_expires_at,
    }


def _old_entry(key: object) -> dict[str, Any]:
    return {"api_key": key, "org_name": None, "control_api": _control_api(None)}


def _identity(given: Given) -> dict[str, Any]:
    context = given.context
    return {
        "server": context.server.removeprefix("https://"),
        "name": context.username,
        "organization": context.organization or "",
        "apikey": "",
        "token": context.access_token.reveal(),
        "canonicalName": context.name,
        "oauth": {"managed_by": _OURS, "client_id": context.client_id, "expires_at": context.access_token_expires_at},
    }


def _is_ours(kept: object) -> bool:
    oauth = kept.get("oauth") if isinstance(kept, dict) else None
    return isinstance(oauth, dict) and oauth.get("managed_by") == _OURS


def _same_sign_in(theirs: object, context: Context) -> bool:
    """Tell whether tokens of another program come from the same grant, by what their access tokens say.

    The other program may have signed in anew, as somebody else even; those tokens are none of ours.
    """
    token = theirs.get("access_token") if isinstance(theirs, dict) else None
    if not isinstance(token, str):
        return False
    if token == context.access_token.reveal():
        return True
    one, other = claims_of(token), claims_of(context.access_token.reveal())
    return all(one.get(name) is not None and one.get(name) == other.get(name) for name in ("iss", "sub", "grant_id"))


def _seconds(kept: Mapping[str, Any], name: str) -> int:
    value = kept.get(name)
    return int(value) if isinstance(value, int | float) else 0
