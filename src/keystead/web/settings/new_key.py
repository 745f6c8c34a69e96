"""Making an API key: the form with a message at each field, and the page that shows the key this once (promise K9)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.ids import is_id, new_id
from keystead.kernel.problems import (
    Conflict,
    FieldProblem,
    InsufficientScope,
    InvalidParameters,
    InvalidRequest,
    NotFound,
)
from keystead.kernel.scopes import DESCRIPTIONS, Scope, Scopes
from keystead.kernel.settings import Settings
from keystead.keys.models import LONGEST_NAME, App, CreatedKey
from keystead.keys.service import DEFAULT_APP, Keys
from keystead.web.frame import Choice, Frames, SettingsPage, Visitor, page
from keystead.web.render import exact_words
from keystead.web.settings.expiry import Expiries, end_of, expiries
from keystead.web.settings.keys import NEW_PATH, PATH, check_title, scope_sentences
from keystead.web.settings.shown_once import ShownBefore, ShownOnce
from keystead.web.settings.snippets import for_key

IN_DEFAULT_APP: Final = "default"
IN_NEW_APP: Final = "new"
_FIELDS: Final = {"app_name": "new_app", "expires_at": "expires"}
"""Where a message of the service's is shown, when its field has another name there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeBox:
    """A permission that the key may be given: the name of its box, the scope, what it means, and whether it is on."""

    name: str
    scope: str
    sentence: str
    checked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeyPage(SettingsPage):
    """The form. ``new_id`` becomes the key's id, so that sending it twice makes one key; ``errors`` are by field.

    ``may_make_app`` says whether the person's role lets them name a new app.
    """

    template: ClassVar[str] = "settings/key_new.html"
    new_id: str
    title: str
    apps: tuple[Choice, ...]
    may_make_app: bool
    new_app: str
    expiries: Expiries
    expires_on: str
    scopes: tuple[ScopeBox, ...]
    errors: Mapping[str, str] = field(default_factory=dict)
    action: str = NEW_PATH
    longest: int = LONGEST_NAME


class NewKeyPages:
    """The pages under ``/settings/keys/new``."""

    def __init__(self, *, frames: Frames, keys: Keys, settings: Settings) -> None:
        """The ways to use a key name ``settings.public_url``."""
        self._frames = frames
        self._keys = keys
        self._public_url = settings.public_url

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(NEW_PATH, self.show, methods=["GET"])
        router.add_route(NEW_PATH, self.create, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the form."""
        visitor = self._frames.visitor(request)
        return page(await self._form(visitor, {"id": new_id()}))

    async def create(self, request: Request) -> Response:
        """Make a key and show it, this once."""
        visitor = self._frames.visitor(request)
        form = await visitor.form()
        visitor.check_scope(Scope.KEYS_CREATE)
        if not is_id(form.get("id", "")):
            raise InvalidRequest("The form is not whole. Open the page again.")
        try:
            made = await self._make(visitor, form)
        except InvalidParameters as problem:
            errors = {_FIELDS.get(found.name, found.name): found.detail for found in problem.fields}
            return page(await self._form(visitor, form, errors), InvalidParameters.status)
        except InsufficientScope:
            errors = {"scopes": "Your role does not have all of these permissions any more. Choose among those shown."}
            return page(await self._form(visitor, form, errors), InvalidParameters.status)
        except NotFound:
            errors = {"app": "This app is not there any more. Choose another one."}
            return page(await self._form(visitor, form, errors), InvalidParameters.status)
        except Conflict:
            return page(self._made_before(visitor), Conflict.status)
        return page(self._shown_once(visitor, made))

    async def _make(self, visitor: Visitor, form: Mapping[str, str]) -> CreatedKey:
        """Make the key of a form. All that can be told of its fields together is told together."""
        identity, now = visitor.principal.identity, self._frames.now()
        title, app = form.get("title", "").strip(), form.get("app", IN_DEFAULT_APP)
        problems: list[FieldProblem] = []
        try:
            check_title(title)
        except InvalidParameters as problem:
            problems += problem.fields
        expires_at = None
        try:
            longest = await self._keys.own.longest_life(identity)
            expires_at = end_of(form.get("expires", ""), form.get("expires_on", ""), now, longest)
        except InvalidParameters as problem:
            problems += problem.fields
        app_name = DEFAULT_APP
        if app == IN_NEW_APP:
            visitor.check_scope(Scope.APPS_CREATE)
            app_name = form.get("new_app", "").strip()
            if not app_name:
                problems.append(FieldProblem("body", "new_app", "name", "Give the new app a name."))
        if problems:
            raise InvalidParameters("Some fields need another look.", fields=problems)
        return await self._keys.create_key(
            visitor.principal,
            None if app in {IN_DEFAULT_APP, IN_NEW_APP} else app,
            title,
            app_name=app_name,
            key_id=form["id"],
            expires_at=expires_at,
            scopes=_chosen(form),
            address=visitor.address,
        )

    async def _form(
        self, visitor: Visitor, form: Mapping[str, str], errors: Mapping[str, str] | None = None
    ) -> NewKeyPage:
        """Return the form with what was filled in."""
        principal = visitor.principal
        longest = await self._keys.own.longest_life(principal.identity)
        may_make_app = Scope.APPS_CREATE in principal.scopes
        return NewKeyPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            new_id=form["id"],
            title=form.get("title", ""),
            apps=_apps(await self._keys.list_apps(principal), form.get("app", ""), may_make_app=may_make_app),
            may_make_app=may_make_app,
            new_app=form.get("new_app", ""),
            expiries=expiries(self._frames.now(), longest, form.get("expires", "")),
            expires_on=form.get("expires_on", ""),
            scopes=_boxes(principal.scopes, _chosen(form)),
            errors=errors or {},
        )

    def _shown_once(self, visitor: Visitor, made: CreatedKey) -> ShownOnce:
        return ShownOnce(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            title="Your new API key",
            lead="Copy the API key now. Nobody can show it to you again.",
            sentence=f"It acts in your name in {visitor.principal.identity.organization_display_name}. Keep it secret.",
            secret=made.secret.reveal(),
            snippets=for_key(self._public_url, made.secret),
            facts=facts_of(made),
            close=PATH,
        )

    def _made_before(self, visitor: Visitor) -> ShownBefore:
        return ShownBefore(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            title="This API key was made already",
            sentences=(
                "The page was loaded again, so nothing new was made. The key was shown once and cannot be shown again.",
                "If you did not copy it, delete it and create another one.",
            ),
            back=PATH,
            back_label="Go to your API keys",
        )


def facts_of(made: CreatedKey) -> tuple[tuple[str, str], ...]:
    """Return what is shown beside a new key."""
    key = made.record
    return (
        ("Title", key.title),
        ("Told apart by", key.hint),
        ("App", key.app_name),
        ("Expires", "never" if key.expires_at is None else exact_words(key.expires_at)),
        ("Permissions", "; ".join(scope_sentences(key.scopes)) or "none but saying who you are"),
    )


def _apps(apps: list[App], chosen: str, *, may_make_app: bool) -> tuple[Choice, ...]:
    """Return the apps to choose from, "Default" first, which is made when it is needed."""
    found = [(app.id, app.name) for app in apps]
    if not any(name == DEFAULT_APP for _, name in found):
        found.insert(0, (IN_DEFAULT_APP, DEFAULT_APP))
    found.sort(key=lambda entry: (entry[1] != DEFAULT_APP, entry[1].casefold()))
    if may_make_app:
        found.append((IN_NEW_APP, "A new app, named below"))
    return tuple(Choice(value=value, label=label, checked=value == chosen) for value, label in found)


def _box_name(scope: Scope) -> str:
    return f"scope_{scope.replace(':', '_')}"


def _chosen(form: Mapping[str, str]) -> Scopes:
    return frozenset(scope for scope in Scope if form.get(_box_name(scope)) == "on")


def _boxes(allowed: Scopes, chosen: Scopes) -> tuple[ScopeBox, ...]:
    return tuple(
        ScopeBox(name=_box_name(scope), scope=scope, sentence=DESCRIPTIONS[scope], checked=scope in chosen)
        for scope in Scope
        if scope in allowed
    )
