"""Device authorizations: made for a client, shown to a person, decided by one session (RFC 8628).

How clients poll for the decision is told in ``polls``.
"""

from keystead.accounts import policies
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.engine import Reader
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.problems import InvalidClient, RateLimited, UnauthorizedClient, Unavailable, retry_after
from keystead.kernel.scopes import READ_SCOPES, Role, Scope, Scopes, format_scopes, parse_scopes, stored_scopes
from keystead.kernel.secrets import DEVICE_CODE_PREFIX, Secret, keyed_hash, new_opaque
from keystead.kernel.settings import Settings
from keystead.keys.service import Keys
from keystead.oauth import store
from keystead.oauth.client_ids import read_device_name
from keystead.oauth.clients import DELETED, Clients
from keystead.oauth.models import Client, Decision, DeviceAuthorization, DeviceCodes, DeviceState, DeviceView, Standing
from keystead.oauth.rules import may_decide, scopes_granted
from keystead.oauth.user_codes import new_user_code
from keystead.oauth.waiting import SUBJECT
from keystead.sessions.service import Sessions
from keystead.wire.limiter import limit_key_of_address

GUESS_WINDOW = 3_600
"""Seconds over which wrong user codes are counted (promise D6)."""
_GUESS_STEP = 60
_GUESS_KEPT = GUESS_WINDOW + _GUESS_STEP
"""How long a minute's wrong codes count from its beginning: until the last of them is as old as the window is long."""
_CODE_ATTEMPTS = 5


class Devices:
    """The device authorizations of this installation."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        key: bytes,
        settings: Settings,
        clients: Clients,
        keys: Keys,
        sessions: Sessions,
        audit: AuditLog,
    ) -> None:
        """``key`` hashes device codes and user codes; ``sessions`` knows which of them may approve."""
        self._db = db
        self._clock = clock
        self._key = key
        self._settings = settings
        self._clients = clients
        self._keys = keys
        self._sessions = sessions
        self._audit = audit

    async def issue(
        self, client_id: str, scope: str | None, address: str, device_name: str | None = None
    ) -> DeviceCodes:
        """Return fresh codes for a client (RFC 8628, section 3.2). Raises InvalidClient, InvalidScope and, for a
        client that is switched off, or when the installation lets nobody sign in a device, UnauthorizedClient.

        Without a scope the client asks for what only reads. Raises InvalidRequest for a ``device_name`` that cannot be
        shown.
        """
        standing = self._clients.standing(client_id)
        scopes = (parse_scopes(scope) if scope is not None else None) or READ_SCOPES
        named = read_device_name(device_name)
        for _ in range(_CODE_ATTEMPTS):
            codes = await self._store_codes(standing, scopes, address, named)
            if codes is not None:
                return codes
        raise Unavailable("No free code was found. Try again.")

    async def _store_codes(
        self, standing: Standing, scopes: Scopes, address: str, device_name: str | None
    ) -> DeviceCodes | None:
        """Store a fresh device authorization and return its codes; None when the user code is taken."""
        now, ttl, interval = self._clock.now(), self._settings.device_code_ttl, self._settings.device_poll_interval
        device_code, user_code = new_opaque(DEVICE_CODE_PREFIX), new_user_code()
        row = {
            "new_id": new_id(),
            "new_device_code_hash": keyed_hash(self._key, device_code.reveal()),
            "new_user_code_hash": self._user_code_hash(user_code),
            "new_client_id": standing.client.id,
            "new_scopes": format_scopes(scopes),
            "new_address": address,
            "new_device_name": device_name,
            "new_created_at": now,
            "new_expires_at": now + ttl,
            "new_interval": interval,
            "new_state": DeviceState.PENDING.value,
        }
        known = {"fingerprint": standing.fingerprint, "generation": standing.generation}
        try:
            stored = await self._db.run(store.ISSUE_DEVICE, row | known)
        except UniqueViolation:
            return None
        if not stored:
            await self._clients.check_switched_on(self._db, standing.client.id)
            await _check_devices_on(self._db)
            raise InvalidClient(DELETED)
        return DeviceCodes(device_code, Secret(user_code), ttl, interval)

    # The person's side: looking at a code and deciding

    async def look_up(self, user_code: str, user_id: str, address: str) -> DeviceView | None:
        """Return the sign-in behind a canonical user code, or None, which counts as a wrong guess (promise D6).

        Raises RateLimited when the account or the address guessed wrong too often within the hour, even for a right
        code: a success clears nothing.
        """

        async def work(tx: Transaction) -> DeviceAuthorization | RateLimited | None:
            now = self._clock.now()
            limits = {
                f"account:{user_id}": self._settings.limit_wrong_codes,
                f"address:{limit_key_of_address(address)}": self._settings.limit_wrong_codes_address,
            }
            for subject, most in limits.items():
                guesses = await tx.one(store.GUESSES, {"subject": subject, "since": now - _GUESS_KEPT})
                if guesses is not None and guesses.oldest is not None and guesses.tried >= most:
                    wait = guesses.oldest + _GUESS_KEPT - now
                    return RateLimited("Too many wrong codes. Wait before you try another.", headers=retry_after(wait))
            device = await tx.one(store.DEVICE_BY_USER_CODE, {"hash": self._user_code_hash(user_code)})
            if device is None:
                minute = now - now % _GUESS_STEP
                for subject in limits:
                    row = {"subject": subject, "window_start": minute, "expires_at": minute + _GUESS_KEPT}
                    await tx.run(store.COUNT_GUESS, row)
            return device

        found = await self._db.write(work)
        if isinstance(found, RateLimited):
            raise found
        if found is None:
            return None
        return DeviceView(found, self._clients.read(found.client_id), user_code, stored_scopes(found.scopes))

    async def decide(self, view: DeviceView, decision: Decision, role: Role, organization: str) -> bool:
        """Approve or refuse a sign-in; False when it can no longer be decided: expired, decided, or its client deleted.

        Approving fixes the organization and the scopes (D12), keeps the client, and makes the app that the client's API
        keys will belong to. Raises Forbidden when the person's role allows nothing of what was asked for, the
        organization lets nobody sign in a device, or it asks for more than the session was begun with, and
        UnauthorizedClient when a client was switched off that would be approved.
        """
        device, now = view.authorization, self._clock.now()
        if not may_decide(device, now):
            return False
        granted = scopes_granted(view.scopes, role, organization) if decision.approve else frozenset()
        values = {
            "device_id": device.id,
            "now": now,
            "decided_state": (DeviceState.APPROVED if decision.approve else DeviceState.DENIED).value,
            "user_id": decision.user_id,
            "session_id": decision.session_id,
            "organization": decision.organization_id if decision.approve else None,
            "granted": format_scopes(granted) if decision.approve else None,
        }

        async def work(tx: Transaction) -> bool:
            if decision.approve:
                await policies.check_devices(tx, decision.organization_id)
                await self._sessions.check_enough_for(tx, decision.session_id, decision.organization_id)
                await self._clients.check_switched_on(tx, device.client_id)
            if decision.approve and not await self._clients.is_known(tx, device.client_id):
                # Deleted by an operator while this sign-in was being stored or looked at.
                await tx.run(store.FORGET_DEVICES_OF_CLIENT, {"client": device.client_id})
                return False
            if not await tx.run(store.DECIDE, values):
                return False
            if decision.approve:
                await self._clients.keep(tx, view.client, now)
                if Scope.KEYS_CREATE in granted:
                    await self._keys.ensure_app(tx, decision.organization_id, app_name(view.client), decision.user_id)
            await self._audit.record(
                tx,
                "device:approve" if decision.approve else "device:refuse",
                actor_id=decision.user_id,
                organization_id=decision.organization_id or None,
                target=device.id,
                address=decision.address,
                client_id=device.client_id,
                scopes=format_scopes(granted),
            )
            await tx.announce(SUBJECT + device.id)
            return True

        decided = await self._db.write(work)
        await self._db.changes()
        return decided

    def _user_code_hash(self, user_code: str) -> bytes:
        return keyed_hash(self._key, "user-code:" + user_code)


async def _check_devices_on(reader: Reader) -> None:
    """Raise UnauthorizedClient when the installation lets nobody sign in a device any more."""
    if (await policies.of_platform(reader)).device_sign_in_off:
        raise UnauthorizedClient(
            "This installation lets nobody sign in a device any more. Use an API key or a short-term token instead, or "
            "ask the operator."
        )


def app_name(client: Client) -> str:
    """Return the name of the app that a client's API keys belong to; ``parallel-cli`` looks for exactly this."""
    return f"{client.name} Users"
