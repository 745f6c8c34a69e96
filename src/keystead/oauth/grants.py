"""Grants: opened when a device code is redeemed, refreshed by rotation, ended by sign-out or by a copied token.

No refresh token is stored, not even its hash: a token is derived from the grant's id and a generation, and the grant's
row says which generation is the newest. So a lost answer can be given again, and a refresh touches one row (R2, R12).
"""

import uuid
from collections.abc import Sequence
from dataclasses import replace

import msgspec

from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import InvalidGrant, InvalidScope, Unavailable
from keystead.kernel.scopes import Role, Scopes, grantable, parse_scopes, stored_scopes
from keystead.kernel.secrets import RefreshLocator, derive_refresh_token, read_refresh_token
from keystead.kernel.settings import Settings
from keystead.oauth import store
from keystead.oauth.access_tokens import AccessTokens
from keystead.oauth.models import AccessTokenKind, ApprovedDevice, Grant, LiveRefreshToken, RedeemedDevice, TokenSet
from keystead.oauth.rules import FIRST_GENERATION, RefreshOutcome, decide_refresh
from keystead.oauth.store import GrantOwner
from keystead.oauth.waiting import SUBJECT
from keystead.tokens.id_tokens import IdTokens
from keystead.tokens.service import Tokens

_LOOKS = 5
"""How often a refresh looks at its grant: a second time if somebody was quicker, and hardly ever more."""

LONGEST_APPROVED = 7_200
"""Seconds after which no approved code can be redeemed: twice the longest life that a code may be given."""

_REFUSALS = {
    RefreshOutcome.ENDED: "This sign-in has ended. Sign in again.",
    RefreshOutcome.EXPIRED: "The refresh token or the sign-in behind it has expired. Sign in again.",
    RefreshOutcome.REUSE: "This refresh token was used before, so the sign-in has ended. Sign in again.",
}


_encode = msgspec.json.Encoder().encode


class Grants:
    """The standing permissions of clients."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        key: bytes,
        settings: Settings,
        tokens: Tokens,
        access: AccessTokens,
        id_tokens: IdTokens,
        audit: AuditLog,
    ) -> None:
        """``key`` derives refresh tokens; ``tokens`` issues signed access tokens, ``access`` opaque ones."""
        self._db = db
        self._clock = clock
        self._key = key
        self._settings = settings
        self._tokens = tokens
        self._access = access
        self._id_tokens = id_tokens
        self._audit = audit

    async def open(self, tx: Transaction, devices: Sequence[RedeemedDevice], now: int) -> dict[str, Grant] | None:
        """Store and record the grants of device authorizations that the same transaction has just consumed.

        Return them by the id of the device authorization. None when one of the people was disabled, or left the
        organization, after approving: then the transaction must be undone.
        """
        ids = {device.id: new_id() for device in devices}
        pairs = _encode({device_id + grant_id: 0 for device_id, grant_id in ids.items()}).decode()
        ttl, refresh_until = self._settings.grant_ttl, now + self._settings.refresh_token_ttl
        await tx.run(store.OPEN_GRANTS, {"pairs": pairs, "now": now, "grant_ttl": ttl, "refresh_until": refresh_until})
        made = _encode(dict.fromkeys(ids.values(), 0)).decode()
        grants = {grant.grant_id: grant for grant in await tx.all(store.GRANTS_BY_ID, {"ids": made})}
        if len(grants) != len(devices):
            return None
        opened = {device.id: grants[ids[device.id]] for device in devices}
        for device in devices:
            grant = opened[device.id]
            await self._audit.record(
                tx,
                "grant:open",
                actor_id=grant.user_id,
                organization_id=grant.organization_id,
                target=grant.grant_id,
                address=device.address,
                client_id=device.client_id,
                scopes=grant.scopes,
            )
        return opened

    async def first_tokens(self, grant: Grant, kind: AccessTokenKind = AccessTokenKind.JWT) -> TokenSet:
        """Return the tokens of a grant that was just opened; with an opaque access token, an ID token as well."""
        now, scopes = self._clock.now(), stored_scopes(grant.scopes)
        found = await self._token_set(grant, FIRST_GENERATION, grant.refresh_expires_at, scopes, now, kind=kind)
        if kind is AccessTokenKind.JWT:
            return found
        # The person was there when they approved.
        id_token = await self._id_tokens.issue(
            grant, client_id=grant.client_id, authenticated_at=grant.created_at, lifetime=found.expires_in
        )
        return replace(found, id_token=id_token)

    async def refresh(
        self,
        token: str,
        client_id: str | None,
        scope: str | None,
        *,
        address: str | None = None,
        kind: AccessTokenKind = AccessTokenKind.JWT,
    ) -> TokenSet:
        """Return the next tokens for a refresh token (RFC 6749, section 6; RFC 9700, section 4.14.2).

        The same successor comes again for a repeated request; any other use of a spent token ends the grant, and the
        audit log tells from which ``address`` it came (promise R3). Raises InvalidGrant and InvalidScope.
        """
        locator = read_refresh_token(self._key, token)
        if locator is None:
            raise InvalidGrant("This refresh token was not issued here, or it is not complete.")
        now = self._clock.now()
        grant_id = str(uuid.UUID(bytes=locator.grant))
        for _ in range(_LOOKS):
            grant = await self._db.one(store.GRANT_BY_ID, {"grant_id": grant_id})
            if grant is None:
                raise InvalidGrant(_REFUSALS[RefreshOutcome.ENDED])
            if client_id is not None and client_id != grant.client_id:
                raise InvalidGrant("This refresh token was issued to another client.")
            scopes = self._narrowed(grant, scope)
            outcome = self._decide(grant, locator.generation, now)
            if outcome is RefreshOutcome.REPLAY:
                until = grant.refresh_expires_at
                return await self._token_set(grant, locator.generation + 1, until, scopes, now, kind=kind)
            if outcome is RefreshOutcome.ROTATE:
                until = min(now + self._settings.refresh_token_ttl, grant.expires_at)
                rotated = {"grant_id": grant_id, "spent": locator.generation, "now": now, "refresh_until": until}
                if await self._db.run(store.ROTATE, rotated):
                    return await self._token_set(grant, locator.generation + 1, until, scopes, now, kind=kind)
            elif outcome is not RefreshOutcome.REUSE or await self._end_for_reuse(
                grant_id, locator.generation, now, address
            ):
                raise InvalidGrant(_REFUSALS[outcome])
            # Something happened to the grant after it was read: look again.
        raise Unavailable("This sign-in is being used by many at once. Try again.")

    async def revoke(self, token: str, *, address: str | None = None) -> None:
        """End the grant behind a refresh token, whichever of its generations it is, or behind an opaque access token.

        When this returns, nothing of the grant's refresh side works, nor the short-term tokens that were made under it,
        nor its opaque access tokens; signed ones that are out live on until they expire (RFC 7009, section 2.1; promise
        R7). Unknown tokens are ignored.
        """
        locator = read_refresh_token(self._key, token) or self._access.read(token)
        if locator is None:
            return
        grant_id = str(uuid.UUID(bytes=locator.grant))

        async def work(tx: Transaction) -> None:
            owner = await tx.one(store.DELETE_GRANT, {"grant_id": grant_id})
            if owner is not None:
                await self.record_end(tx, "grant:revoke", grant_id, owner, address)

        await self._db.write(work)

    async def find(self, token: str) -> LiveRefreshToken | None:
        """Return what a refresh token could be redeemed for; None for one that gives nothing.

        This is no redemption: it spends nothing, and a copied token ends no grant. Raises DatabaseError.
        """
        locator = read_refresh_token(self._key, token)
        if locator is None:
            return None
        grant = await self._db.one(store.GRANT_BY_ID, {"grant_id": str(uuid.UUID(bytes=locator.grant))})
        if grant is None:
            return None
        outcome = self._decide(grant, locator.generation, self._clock.now())
        if outcome not in {RefreshOutcome.ROTATE, RefreshOutcome.REPLAY}:
            return None
        issued_at = grant.rotated_at if outcome is RefreshOutcome.ROTATE else None
        return LiveRefreshToken(grant, issued_at, min(grant.refresh_expires_at, grant.expires_at))

    async def end_in(self, tx: Transaction, user_id: str, organization_id: str) -> int:
        """End a person's grants in one organization, in ``tx``, and return how many those were.

        The same transaction ends the tokens that were made under them, and announces the person. What they approved and
        nobody has redeemed yet becomes no grant any more.
        """
        await self.deny_approved(tx, user_id, organization_id=organization_id)
        return await tx.run(store.DELETE_GRANTS_OF_USER_IN, {"user_id": user_id, "organization_id": organization_id})

    async def deny_approved(
        self, tx: Transaction, user_id: str, *, organization_id: str | None = None, client_id: str | None = None
    ) -> list[ApprovedDevice]:
        """Take back what a person approved and no client has redeemed yet, in ``tx``, and return what that was.

        In one organization or in all, for one client or for all. A poll is told ``access_denied`` from then on.
        """
        wanted = {"user_id": user_id, "since": self._clock.now() - LONGEST_APPROVED}
        named = {"organization": organization_id, "client": client_id}
        query = {
            (True, False): store.DENY_APPROVED_IN,
            (False, True): store.DENY_APPROVED_OF_CLIENT,
            (True, True): store.DENY_APPROVED_OF_CLIENT_IN,
        }[organization_id is not None, client_id is not None]
        denied = await tx.all(query, wanted | {name: value for name, value in named.items() if value is not None})
        for device in denied:
            await tx.announce(SUBJECT + device.id)
        return denied

    async def record_end(
        self,
        tx: Transaction,
        event: str,
        grant_id: str,
        owner: GrantOwner | Grant,
        address: str | None,
        *,
        by: str | None = None,
        **detail: int,
    ) -> None:
        """End what hangs on a grant that the same transaction has just ended, record it, and tell every process.

        ``by`` is who ended it, where that is not its owner.
        """
        tokens = await self._tokens.end_with_grant(tx, grant_id)
        owned = {} if by in {None, owner.user_id} else {"user_id": owner.user_id}
        await self._audit.record(
            tx,
            event,
            actor_id=by or owner.user_id,
            organization_id=owner.organization_id,
            target=grant_id,
            address=address,
            client_id=owner.client_id,
            tokens=tokens,
            **owned,
            **detail,
        )
        await tx.announce(f"grant:{grant_id}")

    def _decide(self, grant: Grant, generation: int, now: int) -> RefreshOutcome:
        return decide_refresh(
            grant,
            generation,
            now,
            replay_ttl=self._settings.refresh_replay_ttl,
            race_ttl=self._settings.refresh_race_ttl,
        )

    async def _end_for_reuse(self, grant_id: str, generation: int, now: int, address: str | None) -> bool:
        """End a grant whose token was copied, once; False when by now the token leads somewhere again."""

        async def work(tx: Transaction) -> bool:
            grant = await tx.one(store.GRANT_BY_ID, {"grant_id": grant_id})
            if grant is None:
                return True
            outcome = self._decide(grant, generation, now)
            if outcome is not RefreshOutcome.REUSE:
                return outcome is RefreshOutcome.ENDED
            await tx.run(store.END_GRANT, {"grant_id": grant_id, "now": now, "because": "reuse"})
            await self.record_end(
                tx, "grant:reuse", grant_id, grant, address, generation=generation, newest=grant.generation
            )
            return True

        return await self._db.write(work)

    def _narrowed(self, grant: Grant, scope: str | None) -> Scopes:
        """Return the scopes of the next access token: those asked for, else all that were granted."""
        granted = stored_scopes(grant.scopes)
        if scope is None:
            return granted
        wanted = parse_scopes(scope)
        if not wanted <= granted:
            raise InvalidScope("A refresh cannot ask for more than was granted (RFC 6749, section 6).")
        return wanted

    async def _token_set(
        self,
        grant: Grant,
        generation: int,
        refresh_expires_at: int,
        scopes: Scopes,
        now: int,
        *,
        kind: AccessTokenKind,
    ) -> TokenSet:
        scopes = grantable(scopes, Role(grant.role))
        if kind is AccessTokenKind.OPAQUE:
            issued = self._access.issue(grant, scopes)
        else:
            issued = await self._tokens.issue_access_token(
                identity=grant, client_id=grant.client_id, scopes=scopes, grant_id=grant.grant_id
            )
        locator = RefreshLocator(bytes.fromhex(grant.grant_id.replace("-", "")), generation)
        return TokenSet(
            access_token=issued.token,
            expires_in=issued.expires_in,
            refresh_token=derive_refresh_token(self._key, locator),
            refresh_token_expires_in=max(0, refresh_expires_at - now),
            authorization_expires_in=max(0, grant.expires_at - now),
            scopes=scopes,
            organization_id=grant.organization_id,
            organization=grant.organization,
        )
