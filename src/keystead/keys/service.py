"""The use cases of apps and API keys."""

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from keystead.accounts.service import Accounts
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.installation import Keys as InstallationKeys
from keystead.kernel.clock import Clock
from keystead.kernel.principal import Identity, Method, Principal
from keystead.kernel.problems import Conflict, NotFound
from keystead.kernel.scopes import Role, Scopes, grantable, stored_scopes
from keystead.kernel.secrets import is_api_key, keyed_hash
from keystead.kernel.settings import Settings
from keystead.keys import leaving, rules, store
from keystead.keys.apps import Apps
from keystead.keys.changes import KeyChanges
from keystead.keys.ending import KeyEndings
from keystead.keys.making import Actor, KeyMaker, WantedKey
from keystead.keys.models import ApiKey, CreatedKey, EndedKey, FoundKey, KeyHolder
from keystead.keys.own import OwnKeys
from keystead.keys.use import DayOfUse, KeyUse
from keystead.tokens.service import Tokens

DEFAULT_APP: Final = "Default"
"""The app of keys for which nobody chose one."""
NO_SCOPES: Final[Scopes] = frozenset()

Known = Callable[[str, str], Identity | None]
"""Says who a user is in an organization, by their ids, where that is remembered and true."""

_TRIES: Final = 5
"""Random titles that are tried before one counts as taken."""
_NO_KEY: Final = "There is no such API key in this app."

_log = logging.getLogger(__name__)


class Keys(Apps):
    """Apps and API keys. Only a keyed hash and a hint of a key are stored (promise K13)."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        keys: InstallationKeys,
        settings: Settings,
        accounts: Accounts,
        audit: AuditLog,
        tokens: Tokens,
    ) -> None:
        """Make keys for the host of ``settings.public_url``."""
        self._endings = KeyEndings(tokens=tokens, audit=audit)
        super().__init__(db=db, clock=clock, audit=audit, endings=self._endings)
        self._key = keys.credentials
        self._prefix = settings.api_key_prefix
        self._revoke_exposed = settings.revoke_exposed_keys
        self._accounts = accounts
        self._maker = KeyMaker(keys=keys, settings=settings, audit=audit)
        self.use = KeyUse(db)
        self.own = OwnKeys(db=db, clock=clock, endings=self._endings)
        self.changes = KeyChanges(db=db, clock=clock, maker=self._maker, endings=self._endings, audit=audit)

    # Knowing a key again

    async def find(self, text: str, known: Known | None = None) -> Principal | None:
        """Return whose API key this is, or None for one that is malformed, unknown, deleted or expired.

        A malformed key costs no look-up (K10), any other one indexed read and no write (K1): of the key alone where
        ``known`` says who its owner is, else of both. Its scopes are at most those of its owner's role today (K12).
        """
        if not is_api_key(text, self._prefix):
            return None
        hashed = {"secret_hash": self._hash(text)}
        if known is None:
            holder = await self._db.one(store.HOLDER_BY_HASH, hashed)
            return None if holder is None else self._principal(holder.alone(), holder)
        key = await self._db.one(store.KEY_BY_HASH, hashed)
        if key is None:
            return None
        owner = known(key.user_id, key.organization_id)
        if owner is None:
            owner = await self._accounts.identity(key.user_id, key.organization_id)
        return None if owner is None else self._principal(owner, key)

    def _principal(self, owner: Identity, key: KeyHolder | FoundKey) -> Principal | None:
        if key.expires_at is not None and key.expires_at <= self._clock.now():
            return None
        scopes = _granted(key.scopes, owner.role)
        return Principal(owner, Method.API_KEY, scopes, key.key_id, key.expires_at)

    async def record_use(self, uses: Sequence[tuple[str, int, str]]) -> None:
        """Keep when and from where keys were last used (K2).

        Each use is a key's id, the time in Unix seconds and the address. A later time that is already there stays; a
        key that was deleted meanwhile is passed over.
        """
        rows = [{"key_id": key_id, "at": at, "address": address} for key_id, at, address in sorted(uses)]
        await self._db.run_all(store.RECORD_USE, rows)

    async def uses(self, organization_id: str, user_id: str | None, since_day: int) -> list[DayOfUse]:
        """Return how often the keys of a member, or with None of the organization, were used: see ``KeyUse.since``."""
        return await self.use.since(organization_id, user_id, since_day)

    async def flag_exposed(self, text: str, address: str) -> bool:
        """Note that a key came over plain HTTP; the setting ``revoke_exposed_keys`` deletes it as well (W3).

        Return whether this told anything new: a text that is no key of ours, or a key that is flagged already, writes
        nothing.
        """
        if not is_api_key(text, self._prefix):
            return False
        hashed = {"secret_hash": self._hash(text)}
        question = store.BY_HASH if self._revoke_exposed else store.UNFLAGGED_BY_HASH
        if await self._db.one(question, hashed) is None:
            return False

        async def work(tx: Transaction) -> EndedKey | None:
            flagged = await tx.one(store.FLAG_EXPOSED, {**hashed, "at": self._clock.now()})
            if flagged is not None:
                await self._endings.record(tx, "key:exposed", flagged, actor_id=None, address=address)
            if not self._revoke_exposed:
                return flagged
            ended = await tx.one(store.DELETE_KEY_BY_HASH, hashed)
            if ended is not None:
                await self._ended(tx, "key:revoke", ended, actor_id=None, address=address)
            return ended

        found = await self._db.write(work)
        if found is not None:
            _log.warning("API key %s came over plain HTTP from %s", found.id, address)
        return found is not None

    # API keys

    async def create_key(
        self,
        creator: Principal | Identity,
        app_id: str | None,
        title: str,
        *,
        app_name: str = DEFAULT_APP,
        key_id: str | None = None,
        expires_at: int | None = None,
        lives_for: int | None = None,
        scopes: Scopes = NO_SCOPES,
        or_longest: bool = False,
        own_title: bool = False,
        address: str | None = None,
    ) -> CreatedKey:
        """Make a key in the creator's own name and organization; its text is in the answer and nowhere else.

        Titles may repeat, but with ``own_title`` one that another key of the creator's in the organization has is a
        TitleTaken, also for one of two who ask at the same moment. Without an ``app_id`` it goes into the app named
        ``app_name``, which is made where there is none. Who may be asked twice, as by a page that is loaded again,
        gives a ``key_id``: the second time is a Conflict. It expires at ``expires_at``, in Unix seconds, or after
        ``lives_for`` seconds. Where a policy says how long keys live, a longer life is refused, and so is a key without
        an end. With ``or_longest`` a key for which no end was asked lives as long as the policy allows: for programs
        that know of no policy, such as ``parallel-cli`` (contract, rule 7). Raises InvalidParameters, InsufficientScope
        for scopes that the creator does not have (K12), and NotFound for an app that is not the organization's.
        """
        self._check_new_key(creator, title, expires_at, scopes)
        rules.check_life(lives_for)
        rules.check_new_place(app_id, app_name, key_id)
        identity = _identity_of(creator)

        async def work(tx: Transaction) -> CreatedKey:
            if app_id is None:
                home = await self.ensure_app(tx, identity.organization_id, app_name, identity.user_id)
            else:
                home = (await self._app(tx, identity.organization_id, app_id)).id
            if own_title and await tx.one(store.OWN_KEYS_TITLED, {**_mine(identity), "title": title}) is not None:
                raise rules.TitleTaken()
            now = self._clock.now()
            ends = expires_at if lives_for is None else now + lives_for
            longest = await self._maker.longest_life(tx, identity.user_id, identity.organization_id)
            if ends is None and or_longest:
                ends = rules.capped(ends, now, longest)
            rules.check_cap(ends, now, longest, "expires_at" if lives_for is None else "expires_in")
            wanted = WantedKey(identity.user_id, identity.organization_id, home, title, scopes, ends, key_id)
            return await self._maker.make(tx, wanted, Actor(identity.user_id, address), now)

        try:
            return await self._db.write(work)
        except UniqueViolation:
            raise Conflict("This key was made before, and its text was shown then. It is shown only once.") from None

    async def create_own_key(
        self,
        creator: Principal,
        title: str | None,
        *,
        lives_for: int | None,
        scopes: Scopes,
        address: str | None = None,
    ) -> CreatedKey:
        """Make a key whose title no other key of the creator's in the organization has, in the app Default.

        Without a title it is named by the time and a few random characters. Its scopes are those of ``scopes`` that
        the creator's role allows. Raises TitleTaken, and what ``create_key`` raises.
        """
        granted = grantable(scopes, creator.role)
        for _ in range(_TRIES):
            name = title or rules.title_of(self._clock.now())
            try:
                return await self.create_key(
                    creator, None, name, lives_for=lives_for, scopes=granted, own_title=True, address=address
                )
            except rules.TitleTaken:
                if title:
                    raise
        raise rules.TitleTaken()

    async def create_key_for_user(
        self, username: str, title: str, *, expires_at: int | None = None, scopes: Scopes = NO_SCOPES
    ) -> CreatedKey:
        """Make a key for a user, for the operator: in the organization that the user joined first, in the app Default.

        Without an expiry it lives as long as the organization's policy allows. Raises what ``create_key`` raises, and
        NotFound when there is no such active user in any organization.
        """
        identity = await self._accounts.first_identity(username)
        self._check_new_key(identity, title, expires_at, scopes)

        async def work(tx: Transaction) -> CreatedKey:
            app_id = await self.ensure_app(tx, identity.organization_id, DEFAULT_APP, identity.user_id)
            now = self._clock.now()
            longest = await self._maker.longest_life(tx, identity.user_id, identity.organization_id)
            ends = rules.capped(None, now, longest) if expires_at is None else expires_at
            rules.check_cap(ends, now, longest, "expires_at")
            wanted = WantedKey(identity.user_id, identity.organization_id, app_id, title, scopes, ends)
            return await self._maker.make(tx, wanted, Actor(None), now)

        return await self._db.write(work)

    async def keys_of_user(self, username: str) -> list[ApiKey]:
        """Return the keys that a user made, the oldest first, for the operator. Raises NotFound."""
        identity = await self._accounts.first_identity(username)
        return await self._db.all(store.KEYS_OF_USER, {"user_id": identity.user_id})

    async def list_keys(self, principal: Principal, app_id: str) -> list[ApiKey]:
        """Return the keys of an app, the oldest first, whoever made them. Raises NotFound."""
        app = await self._app(self._db, principal.identity.organization_id, app_id)
        return await self._db.all(store.KEYS_OF_APP, {"app_id": app.id})

    async def list_all_keys(self, principal: Principal) -> list[ApiKey]:
        """Return the keys of every app of the principal's organization, the oldest first, whoever made them."""
        of_organization = {"organization_id": principal.identity.organization_id}
        return await self._db.all(store.KEYS_OF_ORGANIZATION, of_organization)

    async def delete_key(self, principal: Principal, app_id: str, key_id: str, *, address: str | None = None) -> None:
        """Delete a key: it is refused from now on, by every process.

        Raises NotFound for a key that is not in this app of the organization, and Forbidden for a member who would
        delete somebody else's.
        """

        async def work(tx: Transaction) -> None:
            app = await self._app(tx, principal.identity.organization_id, app_id)
            key = await tx.one(store.KEY_BY_ID, {"key_id": key_id})
            if key is None or key.app_id != app.id:
                raise NotFound(_NO_KEY)
            rules.check_may_manage(principal, key.user_id, "delete")
            ended = await tx.one(store.DELETE_KEY, {"key_id": key_id})
            if ended is None:
                raise NotFound(_NO_KEY)
            await self._ended(tx, "key:delete", ended, actor_id=principal.identity.user_id, address=address)

        await self._db.write(work)

    async def revoke_key(self, key_id: str) -> None:
        """Delete any key, for the operator. Raises NotFound."""

        async def work(tx: Transaction) -> None:
            ended = await tx.one(store.DELETE_KEY, {"key_id": key_id})
            if ended is None:
                raise NotFound("There is no API key with this id.")
            await self._ended(tx, "key:revoke", ended, actor_id=None, address=None)

        await self._db.write(work)

    # Somebody leaves an organization

    async def end_keys_of(self, tx: Transaction, user_id: str, organization_id: str) -> int:
        """End a member's keys in ``tx``, and return how many those were.

        ``tx`` announces the member, and ends all of their short-term tokens in the organization.
        """
        return await leaving.end_keys(tx, user_id, organization_id)

    async def hand_over_keys_of(
        self, tx: Transaction, user_id: str, organization_id: str, role: Role, taker: leaving.Taker
    ) -> int:
        """Give a member's keys to ``taker`` in ``tx``, which does the same: see ``leaving.take_keys``."""
        return await leaving.take_keys(tx, user_id, organization_id, role, taker)

    # Steps that several use cases share

    def _hash(self, text: str) -> bytes:
        return keyed_hash(self._key, text)

    def _check_new_key(self, creator: Principal | Identity, title: str, expires_at: int | None, scopes: Scopes) -> None:
        rules.check_name(title, "title", "key's title")
        rules.check_expiry(expires_at, self._clock.now())
        rules.check_scopes(scopes, creator)

    async def _ended(
        self, tx: Transaction, event_type: str, key: EndedKey, *, actor_id: str | None, address: str | None
    ) -> None:
        now = self._clock.now()
        await self._endings.ended(tx, event_type, key, actor_id=actor_id, address=address, now=now)


@lru_cache(maxsize=1_024)
def _granted(scopes: str, role: str) -> Scopes:
    """Return what a key's stored scopes give to its owner, which is the same for many keys."""
    return grantable(stored_scopes(scopes), Role(role))


def _mine(identity: Identity) -> dict[str, str]:
    return {"user_id": identity.user_id, "organization_id": identity.organization_id}


def _identity_of(creator: Principal | Identity) -> Identity:
    return creator.identity if isinstance(creator, Principal) else creator
