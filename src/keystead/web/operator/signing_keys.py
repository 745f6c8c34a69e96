"""The keys that sign tokens, for operators, and rotating them."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from keystead.kernel.settings import Settings
from keystead.tokens.models import Algorithm
from keystead.tokens.signing import SigningKey
from keystead.tokens.signing_keys import SigningKeys
from keystead.web.asking import operator
from keystead.web.frame import DONE, OPERATOR, Confirm, Frames, SettingsPage, done, page
from keystead.web.render import span_words

PATH: Final = f"{OPERATOR}/signing-keys"
_ROTATE: Final = f"{PATH}/rotate"
_SIGNS: Final = {Algorithm.ACCESS: "Access tokens of devices", Algorithm.SHORT_TERM: "Short-term tokens"}

DONE["keys-rotated"] = "New signing keys are published. They sign once every verifier has had time to hear of them."


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyLine:
    """A published key: whether it signs now, waits for its turn, or verifies only. Times are in Unix seconds."""

    kid: str
    algorithm: str
    signs: str
    state: Literal["signs", "waits", "verifies"]
    signs_from: int
    signs_until: int
    removed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeysPage(SettingsPage):
    """Every published key; new ones are published ``lead`` seconds before they sign."""

    template: ClassVar[str] = "operator/signing_keys.html"
    keys: tuple[SigningKeyLine, ...]
    lead: int
    rotate_url: str = _ROTATE


class SigningKeyPages:
    """The pages under ``/settings/operator/signing-keys``."""

    def __init__(self, *, frames: Frames, signing_keys: SigningKeys, settings: Settings) -> None:
        """Show what ``signing_keys`` publishes."""
        self._frames = frames
        self._signing_keys = signing_keys
        self._lead = settings.signing_key_lead

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(include_in_schema=False)
        router.add_route(PATH, self.show, methods=["GET"])
        router.add_route(_ROTATE, self.ask, methods=["GET"])
        router.add_route(_ROTATE, self.rotate, methods=["POST"])
        return router

    async def show(self, request: Request) -> Response:
        """Show every published key."""
        visitor = operator(self._frames, request)
        now = self._frames.now()
        keys = sorted(await self._signing_keys.published(), key=_order)
        return page(
            SigningKeysPage(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                keys=tuple(_line(key, now) for key in keys),
                lead=self._lead,
            )
        )

    async def ask(self, request: Request) -> Response:
        """Ask whether to rotate the keys."""
        visitor = operator(self._frames, request)
        return page(
            Confirm(
                product_name=self._frames.product_name,
                frame=visitor.frame(PATH),
                title="Rotate the signing keys?",
                sentences=(
                    f"New keys are published now and sign in {span_words(self._lead)}. Those that sign today stay "
                    "published for as long as a token of theirs is valid, so no token is refused.",
                    "A key that already waits for its turn is left to it. If a key has leaked, use "
                    "keystead admin rotate-signing-keys --now on the host, which does not wait.",
                ),
                action=_ROTATE,
                button="Rotate the keys",
                cancel=PATH,
                harmless=True,
            )
        )

    async def rotate(self, request: Request) -> Response:
        """Rotate the keys."""
        visitor = operator(self._frames, request)
        await visitor.form()
        await self._signing_keys.rotate_now(actor_id=visitor.principal.identity.user_id, address=visitor.address)
        return done(PATH, "keys-rotated")


def _order(key: SigningKey) -> tuple[str, int]:
    return key.algorithm.value, -key.row.signs_from


def _line(key: SigningKey, now: int) -> SigningKeyLine:
    row = key.row
    return SigningKeyLine(
        kid=row.kid,
        algorithm=key.algorithm.value,
        signs=_SIGNS[key.algorithm],
        state="waits" if row.signs_from > now else "signs" if key.signs(now) else "verifies",
        signs_from=row.signs_from,
        signs_until=row.signs_until,
        removed_at=row.remove_at,
    )
