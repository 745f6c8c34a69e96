"""The token endpoint's use case: the same phases for every grant type, and one small object for each of them."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, Protocol

from keystead.kernel.problems import InvalidRequest, UnsupportedGrantType
from keystead.oauth.access_tokens import AccessTokens
from keystead.oauth.clients import Clients
from keystead.oauth.devices import Devices
from keystead.oauth.grants import Grants
from keystead.oauth.introspection import Introspection
from keystead.oauth.models import AccessTokenKind, Poll, TokenRequest, TokenSet
from keystead.oauth.polls import Polls
from keystead.oauth.waiting import UntilGone, WaitingRoom

DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - the name of a grant type


class GrantType(Protocol):
    """What one grant type does with a token request."""

    def exchange(self, request: TokenRequest, until_gone: UntilGone) -> Awaitable[TokenSet | None]:
        """Return tokens, or None to a client that is to go on polling.

        Raises the problem that RFC 6749 or RFC 8628 names.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeviceCodeGrant:
    """RFC 8628, section 3.4."""

    clients: Clients
    polls: Polls

    def exchange(self, request: TokenRequest, until_gone: UntilGone) -> Awaitable[TokenSet | None]:
        """Redeem a device code."""
        if request.client_id is None:
            raise InvalidRequest("The parameter 'client_id' is missing.")
        if request.device_code is None:
            raise InvalidRequest("The parameter 'device_code' is missing.")
        # The copy of the id that is remembered anyway: thousands of polls may be held.
        poll = self.polls.read(request.device_code, self.clients.read(request.client_id).id)
        return self.polls.answer(poll, until_gone, wait=request.wait, sight=request.sight, kind=request.kind)


@dataclass(frozen=True, slots=True)
class RefreshTokenGrant:
    """RFC 6749, section 6. The client id may be left out: the refresh token says whose it is."""

    grants: Grants

    def exchange(self, request: TokenRequest, until_gone: UntilGone) -> Awaitable[TokenSet | None]:
        """Rotate a refresh token."""
        if request.refresh_token is None:
            raise InvalidRequest("The parameter 'refresh_token' is missing.")
        return self.grants.refresh(
            request.refresh_token, request.client_id, request.scope, address=request.address, kind=request.kind
        )


class OAuth:
    """Device sign-in as a whole: its clients, device authorizations, grants, and the token endpoint over them."""

    def __init__(
        self,
        *,
        clients: Clients,
        devices: Devices,
        polls: Polls,
        grants: Grants,
        waiting: WaitingRoom,
        access: AccessTokens,
        introspection: Introspection,
    ) -> None:
        """Serve these grant types and no others: what is not in the table is refused."""
        self.clients = clients
        self.devices = devices
        self.polls = polls
        self.grants = grants
        self.waiting = waiting
        self.access = access
        self.introspection = introspection
        self._grant_types: dict[str, GrantType] = {
            DEVICE_CODE: DeviceCodeGrant(clients, polls),
            REFRESH_TOKEN: RefreshTokenGrant(grants),
        }

    def exchange(self, request: TokenRequest, until_gone: UntilGone) -> Awaitable[TokenSet | None]:
        """Return tokens for a token request, or None to a client that is to go on polling; when awaited.

        This is the token endpoint (RFC 6749, section 3.2). It holds on to nothing of the request, because a poll may be
        held for long.

        Raises UnsupportedGrantType, InvalidClient for an id that is not ours, and what the grant type raises.
        """
        grant_type = self._grant_types.get(request.grant_type)
        if grant_type is None:
            raise UnsupportedGrantType()
        if request.client_id is not None:
            self.clients.read(request.client_id)
        return grant_type.exchange(request, until_gone)

    def poll_again(
        self, poll: Poll, until_gone: UntilGone, wait: int | None, kind: AccessTokenKind
    ) -> Awaitable[TokenSet | None]:
        """Do the same for a poll that came before in the same words, here or at the other surface."""
        return self.polls.answer(poll, until_gone, wait=wait, kind=kind)

    async def aclose(self) -> None:
        """Write what is left to write. Call it before the database is closed."""
        await self.polls.arrivals.aclose()
