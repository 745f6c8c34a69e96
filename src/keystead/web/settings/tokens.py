"""Tokens: a bearer token for a day's work, shown once, and those that are still valid."""

from dataclasses import dataclass
from typing import ClassVar, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.ids import is_id, new_id
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.scopes import Scope
from keystead.kernel.settings import Settings
from keystead.tokens.models import ShortTermToken
from keystead.tokens.service import Tokens
from keystead.web.frame import DONE, SETTINGS, Confirm, Frames, SettingsPage, done, page
from keystead.web.parts import Shown, stretch
from keystead.web.render import exact_words, span_words
from keystead.web.settings.shown_once import ShownBefore, ShownOnce
from keystead.web.settings.snippets import for_token

PATH: Final = f"{SETTINGS}/tokens"
_NO_TOKEN: Final = "You have no token with this id. It may have expired or been revoked."  # noqa: S105

DONE["token-revoked"] = "The token is revoked. It is refused from now on."


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLine:
    """A token by its id; times are in Unix seconds."""

    id: str
    issued_at: int
    expires_at: int
    revoke_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensPage(SettingsPage):
    """The tokens that are valid, and the form for another, whose id is ``new_id``; ``lifetime`` says how long it lives.

    The form has the id so that sending it twice, as a page does that is loaded again, makes one token.
    """

    template: ClassVar[str] = "settings/tokens.html"
    tokens: tuple[TokenLine, ...]
    shown: Shown
    new_id: str
    lifetime: str


class TokenPages:
    """The pages under ``/settings/tokens``."""

    def __init__(self, *, frames: Frames, tokens: Tokens, settings: Settings) -> None:
        """The ways to use a token name ``settings.public_url``."""
        self._frames = frames
        self._tokens = tokens
        self._public_url = settings.public_url
        self._lifetime = life_words(settings.short_term_token_ttl)

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(PATH, self.generate, methods=["POST"])
        router.add_route(PATH + "/{token}/revoke", self.ask, methods=["GET"])
        router.add_route(PATH + "/{token}/revoke", self.revoke, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show the tokens that are valid."""
        visitor = self._frames.visitor(request)
        found = await self._tokens.list_short_term(visitor.principal.identity)
        some = stretch(request, PATH, found)
        return page(
            TokensPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                tokens=tuple(_line(token) for token in some.items),
                shown=some.shown,
                new_id=new_id(),
                lifetime=self._lifetime,
            )
        )

    async def generate(self, request: Request) -> Response:
        """Make a token and show it, this once."""
        visitor = self._frames.visitor(request)
        form = await visitor.form()
        visitor.check_scope(Scope.TOKENS_CREATE)
        try:
            made = await self._tokens.issue_short_term(
                visitor.principal.identity, address=visitor.address, token_id=form.get("id", "")
            )
        except Conflict:
            view = ShownBefore(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="This token was made already",
                sentences=(
                    "The page was loaded again, so nothing new was made. The token was shown once and cannot be shown "
                    "again.",
                    "If you did not copy it, revoke it and generate another one.",
                ),
                back=PATH,
                back_label="Go to your tokens",
            )
            return page(view, Conflict.status)
        organization = visitor.principal.identity.organization_display_name
        return page(
            ShownOnce(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="Your new token",
                lead="Copy the token now. Nobody can show it to you again.",
                sentence=f"It acts in your name in {organization} for {self._lifetime}. Keep it secret.",
                secret=made.token.reveal(),
                snippets=for_token(self._public_url, made.token),
                facts=(("Token id", made.id), ("Expires", exact_words(made.expires_at))),
                close=PATH,
            )
        )

    async def ask(self, request: Request) -> Response:
        """Ask whether to revoke a token."""
        visitor = self._frames.visitor(request)
        wanted = _id(request)
        found = await self._tokens.list_short_term(visitor.principal.identity)
        token = next((one for one in found if one.id == wanted), None)
        if token is None:
            raise NotFound(_NO_TOKEN)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title=f"Revoke the token {token.id}?",
                sentences=(
                    f"It was issued on {exact_words(token.created_at)} and would expire on "
                    f"{exact_words(token.expires_at)}.",
                    "Whatever uses it is refused at once. This cannot be undone.",
                ),
                action=_revoke_url(token.id),
                button="Revoke the token",
                cancel=PATH,
            )
        )

    async def revoke(self, request: Request) -> Response:
        """Revoke a token."""
        visitor = self._frames.visitor(request)
        await visitor.form()
        await self._tokens.revoke_short_term(_id(request), visitor.principal.identity, address=visitor.address)
        return done(PATH, "token-revoked")


def life_words(seconds: int) -> str:
    """Return for how long something is valid: a day of it is 24 hours, not tomorrow."""
    hours, rest = divmod(seconds, 3_600)
    return f"{hours} hours" if 1 < hours <= 48 and not rest else span_words(seconds)


def _id(request: Request) -> str:
    """Return the token's id in the path. Raises NotFound for what is none."""
    text = str(request.path_params["token"])
    if not is_id(text):
        raise NotFound(_NO_TOKEN)
    return text


def _line(token: ShortTermToken) -> TokenLine:
    return TokenLine(
        id=token.id, issued_at=token.created_at, expires_at=token.expires_at, revoke_url=_revoke_url(token.id)
    )


def _revoke_url(token_id: str) -> str:
    return f"{PATH}/{token_id}/revoke"
