"""The use cases: issuing tokens, taking them back, telling who one belongs to, and publishing the keys."""

import secrets
from collections.abc import Iterable
from typing import Final

import msgspec

from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db.engine import Database, Transaction, UniqueViolation
from keystead.kernel.clock import Clock
from keystead.kernel.ids import is_id, new_id
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import (
    Conflict,
    CredentialNotAllowed,
    Forbidden,
    Impersonating,
    InvalidParameters,
    NotFound,
)
from keystead.kernel.scopes import Role, Scopes, format_scopes, grantable, stored_scopes
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings
from keystead.tokens import derived, ending, rules, store
from keystead.tokens.followers import REVOKED_TOKENS
from keystead.tokens.models import (
    TOKEN_TYPES,
    AccessClaims,
    Algorithm,
    IssuedAccessToken,
    IssuedShortTermToken,
    ShortTermClaims,
    ShortTermToken,
)
from keystead.tokens.signing import SigningKey
from keystead.tokens.signing_keys import SigningKeys

_NO_MEMBER: Final = "You are no longer a member of this organization."
_MADE_BEFORE: Final = "This token was made before, and was shown then. It is shown only once."


class Tokens:
    """Access tokens and short-term tokens: issued, taken back, and recognised."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        settings: Settings,
        signing: SigningKeys,
        accounts: Accounts,
        audit: AuditLog,
    ) -> None:
        """Issue in the name of ``settings.public_url``."""
        self._db = db
        self._clock = clock
        self._settings = settings
        self._signing = signing
        self._accounts = accounts
        self._audit = audit
        self._issuer = settings.public_url

    async def issue_access_token(
        self, *, identity: Identity, client_id: str, scopes: Scopes, grant_id: str
    ) -> IssuedAccessToken:
        """Return a fresh access token (RFC 9068) for a person in their organization; nothing is stored.

        Call it outside a unit of work. Raises Unavailable.
        """
        signer = await self._signing.signer(Algorithm.ACCESS)
        now = self._clock.now()
        lifetime = self._settings.access_token_ttl
        claims = AccessClaims(
            iss=self._issuer,
            sub=identity.user_id,
            aud=rules.account_audience(self._issuer),
            exp=now + lifetime,
            iat=now,
            jti=secrets.token_urlsafe(rules.JTI_BYTES),
            client_id=client_id,
            scope=format_scopes(scopes),
            org_id=identity.organization_id,
            grant_id=rules.packed_id(grant_id),
        )
        return IssuedAccessToken(Secret(signer.sign(claims)), lifetime)

    async def issue_short_term(
        self,
        identity: Identity,
        *,
        lifetime: int | None = None,
        address: str | None = None,
        token_id: str | None = None,
    ) -> IssuedShortTermToken:
        """Return a fresh short-term token for a person in their organization, and keep its row.

        It may do all that the person's role allows. ``lifetime`` is in seconds; it is at most, and by default, the
        setting ``short_term_token_ttl``. Who may be asked twice, as by a page that is loaded again, gives a
        ``token_id``: the second time is a Conflict. Raises InvalidParameters for an id that is none, and Unavailable.
        """
        if token_id is not None and not is_id(token_id):
            raise InvalidParameters("The id of a new token is a UUID in small letters.")
        return await self._issue(identity, lifetime, address, None, token_id)

    async def issue_derived(
        self, maker: Principal, *, lifetime: int | None = None, address: str | None = None
    ) -> IssuedShortTermToken:
        """Return a fresh short-term token that can do no more than the access token that asks for it.

        It ends with the grant behind that token, and after ``lifetime`` seconds as in ``issue_short_term``. Raises
        CredentialNotAllowed for any other kind of credential, Unauthenticated when the grant has ended, Conflict when
        too many tokens were made under it, and Unavailable.
        """
        if maker.method is not Method.ACCESS_TOKEN or maker.grant_id is None:
            raise CredentialNotAllowed()
        return await self._issue(maker.identity, lifetime, address, maker)

    async def issue_for_key(
        self, maker: Principal, *, lifetime: int | None = None, address: str | None = None
    ) -> IssuedShortTermToken:
        """Return a fresh short-term token that can do no more than the API key that asks for it.

        It has the key's scopes, which may be none, and ends with the key, however that ends; where tokens are verified
        elsewhere see ``derived.end_later_with_key``. It lives for ``lifetime`` seconds as in ``issue_short_term``.
        Raises CredentialNotAllowed for any other kind of credential, Unauthenticated when the key has ended, Conflict
        when too many tokens were made with it, and Unavailable.
        """
        if maker.method is not Method.API_KEY:
            raise CredentialNotAllowed()
        return await self._issue(maker.identity, lifetime, address, maker)

    async def issue_for(
        self, maker: Principal, *, lifetime: int | None = None, address: str | None = None
    ) -> IssuedShortTermToken:
        """Return a fresh short-term token for whoever asks: a browser session, an access token or an API key.

        Raises CredentialNotAllowed for a short-term token, which would live for ever by handing itself on,
        Impersonating for an operator who acts as somebody else, and what the others raise.
        """
        if maker.impersonator is not None:
            raise Impersonating()
        if maker.method is Method.SESSION:
            return await self.issue_short_term(maker.identity, lifetime=lifetime, address=address)
        if maker.method is Method.ACCESS_TOKEN:
            return await self.issue_derived(maker, lifetime=lifetime, address=address)
        if maker.method is Method.API_KEY:
            return await self.issue_for_key(maker, lifetime=lifetime, address=address)
        raise CredentialNotAllowed()

    async def _issue(
        self,
        identity: Identity,
        lifetime: int | None,
        address: str | None,
        maker: Principal | None,
        wanted_id: str | None = None,
    ) -> IssuedShortTermToken:
        signer = await self._signing.signer(Algorithm.SHORT_TERM)
        now = self._clock.now()
        longest = self._settings.short_term_token_ttl
        latest = now + min(longest, longest if lifetime is None else lifetime)
        token_id = wanted_id or new_id()
        scope = None if maker is None else rules.handed_on(maker.scopes)

        async def work(tx: Transaction) -> int:
            if await self._accounts.identity(identity.user_id, identity.organization_id, tx) is None:
                raise Forbidden(_NO_MEMBER)  # a moment ago; verifiers elsewhere would take the token for a day
            ends = None if maker is None else await derived.end_of_maker(tx, maker, now)
            expires_at = latest if ends is None else min(latest, ends)
            if wanted_id is not None and await tx.one(store.WAS_REVOKED, {"id": token_id}) is not None:
                raise Conflict(_MADE_BEFORE)
            made = ShortTermToken(token_id, now, expires_at)
            await self._keep(tx, made, identity, maker, scope=scope, address=address)
            return expires_at

        try:
            expires_at = await self._db.write(work)
        except UniqueViolation:
            raise Conflict(_MADE_BEFORE) from None
        claims = ShortTermClaims(
            iss=self._issuer,
            sub=identity.user_id,
            aud=self._issuer,
            exp=expires_at,
            iat=now,
            jti=token_id,
            platform_host=rules.platform_host(self._issuer),
            scope=scope,
        )
        return IssuedShortTermToken(token_id, Secret(signer.sign(claims)), now, expires_at)

    async def _keep(
        self,
        tx: Transaction,
        token: ShortTermToken,
        identity: Identity,
        maker: Principal | None,
        *,
        scope: str | None,
        address: str | None,
    ) -> None:
        """Store the row of a new token, which names what made it."""
        by_key = None if maker is None or maker.method is not Method.API_KEY else maker.credential_id
        under = {"grant_id": None if maker is None else maker.grant_id, "api_key_id": by_key}
        row = {
            "id": token.id,
            "user_id": identity.user_id,
            "organization_id": identity.organization_id,
            **under,
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        await tx.run(store.ADD_SHORT_TERM_TOKEN, row)
        await self._audit.record(
            tx,
            "token:create",
            actor_id=identity.user_id,
            organization_id=identity.organization_id,
            target=token.id,
            address=address,
            expires_at=token.expires_at,
            scope=scope,
            **under,
        )

    async def end_with_grant(self, tx: Transaction, grant_id: str) -> int:
        """End, in ``tx``, what was made under a grant that ends, and return how many tokens that were."""
        return await derived.end_with_grant(tx, grant_id, self._clock.now())

    async def end_with_client(self, tx: Transaction, client_id: str) -> int:
        """The same for all grants of a client, which must still be there."""
        return await derived.end_with_client(tx, client_id, self._clock.now())

    async def end_with_key(self, tx: Transaction, api_key_id: str, ends: int) -> None:
        """End, in ``tx``, what was made with an API key that ends at ``ends``, in Unix seconds: now, or a little later.

        What ends later is only announced: see ``derived.end_later_with_key``.
        """
        now = self._clock.now()
        if ends <= now:
            await derived.end_with_key(tx, api_key_id, now)
        else:
            await derived.end_later_with_key(tx, api_key_id, now)

    async def end_with_app(self, tx: Transaction, app_id: str) -> int:
        """End, in ``tx``, what was made with all API keys of an app, which must still be there; return how many."""
        return await derived.end_with_app(tx, app_id, self._clock.now())

    async def end_of_user(self, tx: Transaction, user_id: str) -> int:
        """End a person's short-term tokens in ``tx``, which announces the person, and return how many those were."""
        return await ending.end_of_user(tx, user_id, self._clock.now())

    async def end_in(self, tx: Transaction, user_id: str, organization_id: str) -> int:
        """The same for those in one organization."""
        return await ending.end_in(tx, user_id, organization_id, self._clock.now())

    async def end_with_grants(self, tx: Transaction, grant_ids: Iterable[str]) -> int:
        """End those that were made under grants of a person whom ``tx`` announces; return how many those were."""
        return await ending.end_with_grants(tx, grant_ids, self._clock.now())

    async def list_short_term(self, identity: Identity) -> list[ShortTermToken]:
        """Return a person's short-term tokens in their organization that are still valid, the newest first."""
        mine = {"user_id": identity.user_id, "organization_id": identity.organization_id, "now": self._clock.now()}
        return await self._db.all(store.SHORT_TERM_TOKENS, mine)

    async def revoke_short_term(self, token_id: str, identity: Identity, *, address: str | None = None) -> None:
        """End a person's own short-term token in their organization; it is refused once this returns.

        Raises NotFound for any other id.
        """

        async def work(tx: Transaction) -> None:
            mine = {"id": token_id, "user_id": identity.user_id, "organization_id": identity.organization_id}
            if not await tx.run(store.REVOKE_SHORT_TERM_TOKEN, {**mine, "now": self._clock.now()}):
                raise NotFound("You have no short-term token with this id.")
            await tx.run(store.REMOVE_SHORT_TERM_TOKEN, mine)
            await tx.announce(f"credential:{token_id}")
            await tx.announce(REVOKED_TOKENS)
            await self._audit.record(
                tx,
                "token:revoke",
                actor_id=identity.user_id,
                organization_id=identity.organization_id,
                target=token_id,
                address=address,
            )

        await self._db.write(work)

    async def find(self, text: str) -> Principal | None:
        """Return who a bearer token belongs to, or None for any text that is not a valid token of ours.

        The key is ours, by its id; the header chooses nothing (RFC 8725, sections 3.1, 3.11 and 3.12). Raises
        DatabaseError when it cannot be known.
        """
        header = rules.read_header(text)
        if header is None:
            return None
        key = await self._signing.find(header.kid)
        if key is None or (header.alg, header.typ) != (key.algorithm, TOKEN_TYPES[key.algorithm]):
            return None
        payload = key.verify(text)
        if payload is None:
            return None
        if key.algorithm is Algorithm.ACCESS:
            return await self._access_principal(payload)
        return await self._short_term_principal(payload)

    async def jwks(self) -> bytes:
        """Return every published key as an encoded JWK set (RFC 7517, section 5)."""
        return _key_set(await self._signing.published())

    async def platform_keys(self) -> bytes:
        """Return the published RSA keys alone, for clients that read no other type (contract, rule 18)."""
        return _key_set(key for key in await self._signing.published() if key.algorithm is Algorithm.SHORT_TERM)

    async def _access_principal(self, payload: bytes) -> Principal | None:
        now = self._clock.now()
        claims = rules.read_access_claims(payload, now=now)
        if claims is None:
            return None
        identity = await self._accounts.identity(claims.sub, claims.org_id)
        if identity is None:
            return None
        scopes = grantable(stored_scopes(claims.scope), Role(identity.role))
        grant_id = rules.unpacked_id(claims.grant_id)
        if grant_id is None:
            return None
        return Principal(identity, Method.ACCESS_TOKEN, scopes, claims.jti, claims.exp, grant_id)

    async def _short_term_principal(self, payload: bytes) -> Principal | None:
        now = self._clock.now()
        claims = rules.read_short_term_claims(payload, now=now)
        if claims is None:
            return None
        wanted = {"id": claims.jti, "user_id": claims.sub, "now": now}
        holder = await self._db.one(store.SHORT_TERM_HOLDER, wanted)
        if holder is None:
            return None
        scopes = rules.short_term_scopes(claims.scope, Role(holder.role))
        ends = min(claims.exp, holder.expires_at)
        return Principal(holder.alone(), Method.SHORT_TERM_TOKEN, scopes, claims.jti, ends)


def _key_set(keys: Iterable[SigningKey]) -> bytes:
    return msgspec.json.encode({"keys": [key.jwk for key in keys]})
