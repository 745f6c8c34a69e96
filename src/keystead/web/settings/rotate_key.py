"""Rotating an API key: another one takes its place, and the old one goes on working for as long as is chosen (K7)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.problems import Conflict, InvalidParameters
from keystead.kernel.scopes import Scope
from keystead.kernel.settings import Settings
from keystead.keys.models import ApiKey
from keystead.keys.service import Keys
from keystead.web.frame import Choice, Frames, SettingsPage, Visitor, page
from keystead.web.render import exact_words
from keystead.web.settings.keys import PATH, own_key
from keystead.web.settings.new_key import facts_of
from keystead.web.settings.shown_once import ShownBefore, ShownOnce
from keystead.web.settings.snippets import for_key

OVERLAPS: Final = {
    "0": "Not at all: it is refused at once",
    "3600": "1 hour",
    "86400": "24 hours",
    "604800": "7 days",
    "2592000": "30 days",
}
"""For how many seconds the old key may go on working, in words."""
USUAL: Final = "86400"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateKeyPage(SettingsPage):
    """The question for how long the old key shall go on working; its expiry, 0 for never, may come before that."""

    template: ClassVar[str] = "settings/key_rotate.html"
    title: str
    hint: str
    app: str
    owner: str
    expires_at: int
    overlaps: tuple[Choice, ...]
    action: str
    back: str = PATH
    errors: Mapping[str, str] = field(default_factory=dict)


class RotateKeyPages:
    """The pages under ``/settings/keys/{key}/rotate``."""

    def __init__(self, *, frames: Frames, keys: Keys, settings: Settings) -> None:
        """The ways to use a key name ``settings.public_url``."""
        self._frames = frames
        self._keys = keys
        self._public_url = settings.public_url

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH + "/{key}/rotate", self.ask, methods=["GET"])
        router.add_route(PATH + "/{key}/rotate", self.rotate, methods=["POST"])
        return router

    async def ask(self, request: Request) -> Response:
        """Ask for how long the old key shall go on working."""
        visitor = self._frames.visitor(request)
        return page(self._question(visitor, await own_key(self._keys, visitor), USUAL))

    async def rotate(self, request: Request) -> Response:
        """Put another key in its place and show that, this once.

        A key is rotated once, so sending the form again makes nothing new.
        """
        visitor = self._frames.visitor(request)
        form = await visitor.form()
        visitor.check_scope(Scope.KEYS_ROTATE)
        key = await own_key(self._keys, visitor)
        overlap = form.get("overlap", "")
        if overlap not in OVERLAPS:
            errors = {"overlap": "Choose for how long the old key shall go on working."}
            return page(self._question(visitor, key, USUAL, errors), InvalidParameters.status)
        if key.successor_id is not None:
            return page(self._rotated_before(visitor, key), Conflict.status)
        rotated = await self._keys.changes.rotate(
            visitor.principal, key.app_id, key.id, int(overlap), address=visitor.address
        )
        ends = exact_words(rotated.predecessor_expires_at)
        old = f"The old key ({key.hint})"
        return page(
            ShownOnce(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="The new API key",
                lead="Copy the new API key now. Nobody can show it to you again.",
                sentence=f"{old} works until {ends}." if overlap != "0" else f"{old} is refused from now on.",
                secret=rotated.made.secret.reveal(),
                snippets=for_key(self._public_url, rotated.made.secret),
                facts=(*facts_of(rotated.made), ("The old key ends", ends)),
                close=PATH,
            )
        )

    def _question(
        self, visitor: Visitor, key: ApiKey, chosen: str, errors: Mapping[str, str] | None = None
    ) -> RotateKeyPage:
        return RotateKeyPage(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            title=key.title,
            hint=key.hint,
            app=key.app_name,
            owner="" if key.user_id == visitor.principal.identity.user_id else key.email or key.username,
            expires_at=key.expires_at or 0,
            overlaps=tuple(
                Choice(value=value, label=label, checked=value == chosen) for value, label in OVERLAPS.items()
            ),
            action=f"{PATH}/{key.id}/rotate",
            errors=errors or {},
        )

    def _rotated_before(self, visitor: Visitor, key: ApiKey) -> ShownBefore:
        return ShownBefore(
            product_name=self._frames.product_name,
            frame=visitor.frame(PATH),
            title="This API key was rotated already",
            sentences=(
                "The key that takes its place was shown once and cannot be shown again. Nothing new was made.",
                f"If you did not copy it, rotate that one: it has the title “{key.title}” too, and other first and "
                f"last characters than {key.hint}.",
            ),
            back=PATH,
            back_label="Go to your API keys",
        )
