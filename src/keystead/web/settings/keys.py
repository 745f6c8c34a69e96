"""API keys: those that act in a person's name, told apart, found, renamed and deleted (promises K8, K9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.ids import is_id
from keystead.kernel.problems import FieldProblem, InvalidParameters, NotFound
from keystead.kernel.scopes import DESCRIPTIONS, Scope, stored_scopes
from keystead.kernel.secrets import Secret, hint_of, is_api_key
from keystead.kernel.settings import Settings
from keystead.keys.models import LONGEST_NAME, ApiKey
from keystead.keys.service import Keys
from keystead.web.frame import DONE, SETTINGS, Confirm, Frames, SettingsPage, Visitor, done, page
from keystead.web.pages import query_value, see_other
from keystead.web.render import when_words
from keystead.web.settings.expiry import DAY

PATH: Final = f"{SETTINGS}/keys"
NEW_PATH: Final = f"{PATH}/new"
A_PAGE: Final = 15
"""So many keys are on one page of the list, which stays below 60 KB with its styles and scripts."""
SOON: Final = 14 * DAY
"""Seconds before its end from which on a key is marked."""
UNUSED: Final = 90 * DAY
"""Seconds without any use after which a key is marked."""
LONGEST_SEARCH: Final = 100

DONE["key-deleted"] = "The API key is deleted. It is refused from now on."
DONE["key-renamed"] = "The API key has its new title."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """One key. Times are in Unix seconds, 0 for never.

    ``scopes`` are sentences. The marks: whether it ``ends_soon``, has ``expired``, was not used for a long time
    (``unused``), was seen on plain HTTP (``exposed_at``), or has a successor that takes its place (``replaced``).
    """

    title: str
    hint: str
    app: str
    scopes: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int
    address: str
    ends_soon: bool
    expired: bool
    unused: bool
    exposed_at: int
    replaced: bool
    edit_url: str
    rotate_url: str
    delete_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysPage(SettingsPage):
    """The list, or the part of it that ``search`` finds; ``total`` counts all, ``found`` what is found."""

    template: ClassVar[str] = "settings/keys.html"
    keys: tuple[KeyLine, ...]
    total: int
    found: int
    search: str
    newer_url: str
    older_url: str
    new_url: str = NEW_PATH


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTitlePage(SettingsPage):
    """The form for a key's title; ``current`` is the one it has, ``errors`` the messages by field."""

    template: ClassVar[str] = "settings/key_title.html"
    current: str
    hint: str
    title: str
    action: str
    errors: Mapping[str, str] = field(default_factory=dict)
    longest: int = LONGEST_NAME


class KeyPages:
    """The pages under ``/settings/keys`` that show, rename and delete keys."""

    def __init__(self, *, frames: Frames, keys: Keys, settings: Settings) -> None:
        """Show what ``keys`` knows."""
        self._frames = frames
        self._keys = keys
        self._prefix = settings.api_key_prefix

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH + "/{key}/title", self.edit, methods=["GET"])
        router.add_route(PATH + "/{key}/title", self.rename, methods=["POST"])
        router.add_route(PATH + "/{key}/delete", self.ask, methods=["GET"])
        router.add_route(PATH + "/{key}/delete", self.delete, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the keys, the newest first."""
        visitor = self._frames.visitor(request)
        search = query_value(request, "search").strip()
        if is_api_key(search, self._prefix):  # somebody looks for a whole key: it leaves the address bar at once
            return see_other(_list_url(hint_of(Secret(search)), 0))
        search = search[:LONGEST_SEARCH]
        keys = await self._keys.own.all(visitor.principal.identity)
        found = [key for key in keys if _fits(key, search)]
        begin = _beginning(query_value(request, "after"), len(found))
        end = begin + A_PAGE
        return page(
            KeysPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                keys=tuple(line_of(key, self._frames.now()) for key in found[begin:end]),
                total=len(keys),
                found=len(found),
                search=search,
                newer_url=_list_url(search, max(0, begin - A_PAGE)) if begin else "",
                older_url=_list_url(search, end) if end < len(found) else "",
            )
        )

    async def edit(self, request: Request) -> Response:
        """Show the form for a key's title."""
        visitor = self._frames.visitor(request)
        key = await own_key(self._keys, visitor)
        return page(self._title_page(visitor, key, key.title))

    async def rename(self, request: Request) -> Response:
        """Give a key another title."""
        visitor = self._frames.visitor(request)
        form = await visitor.form()
        visitor.check_scope(Scope.KEYS_UPDATE)
        key = await own_key(self._keys, visitor)
        title = form.get("title", "").strip()
        try:
            check_title(title)
            await self._keys.changes.rename(visitor.principal, key.app_id, key.id, title, address=visitor.address)
        except InvalidParameters as problem:
            errors = {"title": problem.fields[0].detail if problem.fields else problem.detail}
            return page(self._title_page(visitor, key, title, errors), InvalidParameters.status)
        return done(PATH, "key-renamed")

    async def ask(self, request: Request) -> Response:
        """Ask whether to delete a key."""
        visitor = self._frames.visitor(request)
        key = await own_key(self._keys, visitor)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Delete the API key “{key.title}” ({key.hint})?",
                sentences=(
                    f"It belongs to the app “{key.app_name}”. {_last_use(key, self._frames.now())}",
                    "It is refused at once, everywhere, and programs that still use it stop working. This cannot be "
                    "undone.",
                ),
                action=_url(key.id, "delete"),
                button="Delete the API key",
                cancel=PATH,
            )
        )

    async def delete(self, request: Request) -> Response:
        """Delete a key."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        visitor.check_scope(Scope.KEYS_DELETE)
        key = await own_key(self._keys, visitor)
        await self._keys.delete_key(visitor.principal, key.app_id, key.id, address=visitor.address)
        return done(PATH, "key-deleted")

    def _title_page(
        self, visitor: Visitor, key: ApiKey, title: str, errors: Mapping[str, str] | None = None
    ) -> KeyTitlePage:
        return KeyTitlePage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            current=key.title,
            hint=key.hint,
            title=title,
            action=_url(key.id, "title"),
            errors=errors or {},
        )


async def own_key(keys: Keys, visitor: Visitor) -> ApiKey:
    """Return the key that the path names, if the visitor may manage it. Raises NotFound."""
    text = str(visitor.request.path_params["key"])
    if not is_id(text):
        raise NotFound("You have no API key with this id in this organization.")
    return await keys.own.one(visitor.principal, text)


def check_title(title: str) -> str:
    """Return a key's title. Raises InvalidParameters with a sentence of its own for one that is empty or too long."""
    if not title:
        raise _misfit("Give the key a title, so that you can tell it from others.")
    if len(title) > LONGEST_NAME:
        raise _misfit(f"The title has {len(title)} characters. {LONGEST_NAME} are the most.")
    return title


def line_of(key: ApiKey, now: int) -> KeyLine:
    """Return a key in words, with its marks."""
    ends = key.expires_at
    return KeyLine(
        title=key.title,
        hint=key.hint,
        app=key.app_name,
        scopes=scope_sentences(key.scopes),
        created_at=key.created_at,
        expires_at=ends or 0,
        used_at=key.last_used_at or 0,
        address=key.last_used_address or "",
        ends_soon=ends is not None and now < ends <= now + SOON,
        expired=ends is not None and ends <= now,
        unused=now - (key.last_used_at or key.created_at) >= UNUSED,
        exposed_at=key.exposed_at or 0,
        replaced=key.successor_id is not None,
        edit_url=_url(key.id, "title"),
        rotate_url="" if key.successor_id is not None or (ends is not None and ends <= now) else _url(key.id, "rotate"),
        delete_url=_url(key.id, "delete"),
    )


def scope_sentences(stored: str) -> tuple[str, ...]:
    """Return what a key may do, a sentence for each scope."""
    scopes = stored_scopes(stored)
    return tuple(DESCRIPTIONS[scope] for scope in Scope if scope in scopes)


def _misfit(sentence: str) -> InvalidParameters:
    return InvalidParameters(sentence, fields=[FieldProblem("body", "title", "title", sentence)])


def _fits(key: ApiKey, search: str) -> bool:
    """Tell whether a key is looked for: by its title, or by its hint, however the dots between its ends are written."""
    wanted = search.casefold()
    return wanted in key.title.casefold() or wanted.replace("...", "…") in key.hint.casefold()


def _last_use(key: ApiKey, now: int) -> str:
    if key.last_used_at is None:
        return "It was not used so far."
    return f"It was last used {when_words(key.last_used_at, now)}, from {key.last_used_address or 'somewhere'}."


def _beginning(text: str, found: int) -> int:
    """Return where a page of the list begins; what is no place in it is its beginning."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    return number if number < found else 0


def _list_url(search: str, after: int) -> str:
    query = {**({"search": search} if search else {}), **({"after": after} if after else {})}
    return f"{PATH}?{urlencode(query)}" if query else PATH


def _url(key_id: str, act: str) -> str:
    return f"{PATH}/{key_id}/{act}"
