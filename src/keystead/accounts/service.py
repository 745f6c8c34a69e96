"""The use cases of accounts: making organizations and users, knowing them by name, checking and keeping passwords."""

from keystead.accounts import policies
from keystead.accounts.models import Membership, NewUser, Organization, User
from keystead.accounts.passwords import PasswordHasher, Verdict
from keystead.accounts.rules import (
    check_display_name,
    check_email,
    check_name,
    check_new_password,
    searched_name,
    slug_of,
)
from keystead.accounts.store import (
    IDENTITY,
    INSERT_MEMBERSHIP,
    INSERT_ORGANIZATION,
    INSERT_USER,
    MEMBERSHIPS_OF,
    ORGANIZATION_BY_NAME,
    REFRESH_HASH,
    SET_PASSWORD,
    USER_BY_EMAIL,
    USER_BY_ID,
    USER_BY_USERNAME,
)
from keystead.audit.service import AuditLog
from keystead.db import Database, Transaction, UniqueViolation
from keystead.db.engine import Reader
from keystead.db.tables import NO_POLICIES
from keystead.kernel.clock import Clock
from keystead.kernel.ids import new_id
from keystead.kernel.principal import Identity
from keystead.kernel.problems import Conflict, FieldProblem, NotFound, RateLimited
from keystead.kernel.scopes import Role
from keystead.kernel.secrets import Secret
from keystead.kernel.settings import Settings


class Accounts:
    """Users, organizations, memberships and passwords."""

    def __init__(
        self, *, db: Database, clock: Clock, audit: AuditLog, passwords: PasswordHasher, settings: Settings
    ) -> None:
        """Work on ``db``."""
        self._db = db
        self._clock = clock
        self._audit = audit
        self._passwords = passwords
        self._shortest_password = settings.password_length

    async def create_organization(
        self,
        name: str,
        display_name: str | None = None,
        *,
        actor_id: str | None = None,
        address: str | None = None,
    ) -> str:
        """Make an organization and return its id. Raises InvalidParameters and Conflict."""
        check_name(name, "name", "organization's name")
        shown = check_display_name(display_name or name, "display_name")
        organization_id = new_id()

        async def work(tx: Transaction) -> None:
            row = _organization_row(organization_id, name, shown, self._clock.now())
            await self._add_organization(tx, row, actor_id=actor_id, address=address)

        try:
            await self._db.write(work)
        except UniqueViolation:
            sentence = f"There is already an organization called '{name}'. Choose another name."
            raise _taken("name", sentence) from None
        return organization_id

    async def _add_organization(
        self, tx: Transaction, row: dict[str, str | int | None], *, actor_id: str | None, address: str | None
    ) -> None:
        await tx.run(INSERT_ORGANIZATION, row)
        await self._audit.record(
            tx,
            "organization:create",
            actor_id=actor_id,
            organization_id=str(row["id"]),
            target=str(row["id"]),
            address=address,
            name=str(row["name"]),
        )

    async def create_user(
        self,
        *,
        username: str,
        email: str,
        organization: str | None = None,
        role: Role = Role.MEMBER,
        password: Secret | None = None,
        name: str | None = None,
        platform_admin: bool = False,
        actor_id: str | None = None,
    ) -> str:
        """Make a user, with a membership in ``organization`` (its name) when given, and return the user's id.

        Raises InvalidParameters, NotFound for an organization that does not exist, Conflict for a name or an e-mail
        address that somebody has, and RateLimited when too many passwords are being hashed.
        """
        joined = None if organization is None else await self.organization_by_name(organization)
        new = await self.new_user(
            username=username, email=email, password=password, name=name, platform_admin=platform_admin
        )

        async def work(tx: Transaction) -> None:
            await self.add_user(tx, new, actor_id=actor_id)
            if joined is not None:
                await self.join(tx, new.id, joined.id, role, actor_id=actor_id)

        try:
            await self._db.write(work)
        except UniqueViolation:
            raise await self.taken(new) from None
        return new.id

    async def new_user(
        self,
        *,
        username: str,
        email: str,
        password: Secret | None,
        name: str | None = None,
        platform_admin: bool = False,
    ) -> NewUser:
        """Check and hash what makes a user; ``add_user`` stores it. Raises InvalidParameters and RateLimited."""
        check_name(username, "username", "user name")
        email = check_email(email)
        shown = check_display_name(name or username, "name")
        hashed = None if password is None else await self._hash_new(password, username, email)
        return NewUser(new_id(), username, email, shown, hashed, platform_admin)

    async def add_user(
        self, tx: Transaction, new: NewUser, *, actor_id: str | None = None, address: str | None = None
    ) -> None:
        """Store a new user in ``tx``. Raises UniqueViolation; ``taken`` then says what somebody has already."""
        now = self._clock.now()
        row = {
            "id": new.id,
            "username": new.username,
            "email": new.email,
            "name": new.name,
            "password_hash": new.password_hash,
            "password_updated_at": None if new.password_hash is None else now,
            "platform_admin": int(new.platform_admin),
            "disabled_at": None,
            "created_at": now,
        }
        await tx.run(INSERT_USER, row)
        await self._audit.record(
            tx,
            "user:create",
            actor_id=actor_id,
            target=new.id,
            address=address,
            username=new.username,
            platform_admin=new.platform_admin,
        )

    async def taken(self, new: NewUser) -> Conflict:
        """Return the problem of a new user whose name or e-mail address somebody has."""
        if await self._db.one(USER_BY_USERNAME, {"username": new.username}):
            return _taken("username", f"There is already a user called '{new.username}'.")
        return _taken("email", f"There is already a user with the e-mail address '{new.email}'.")

    async def sign_up(
        self, *, email: str, username: str, name: str, password: Secret, organization: str, address: str | None = None
    ) -> str:
        """Make a person whose e-mail address is proven, and an organization that they own, and return the person's id.

        ``organization`` is its name for people; its slug is made of that. All is made in one transaction, or nothing.
        Raises InvalidParameters with the field that does not fit, Conflict with the field that somebody has,
        Forbidden where nobody signs in with a password, and RateLimited.
        """
        company = check_display_name(organization, "organization")
        check_display_name(name, "name")
        if await self._db.one(USER_BY_USERNAME, {"username": username}) is not None:
            raise _taken("username", f"There is already a user called '{username}'.")  # before it costs a hash
        new = await self.new_user(username=username, email=email, password=password, name=name)
        organization_id, slug = new_id(), slug_of(company)
        for free in (slug, f"{slug[:50]}-{organization_id[-8:]}"):
            row = _organization_row(organization_id, free, company, self._clock.now())

            async def work(tx: Transaction, row: dict[str, str | int | None] = row) -> None:
                await policies.check_new_password(tx, None)
                await self.add_user(tx, new, actor_id=new.id, address=address)
                await self._add_organization(tx, row, actor_id=new.id, address=address)
                await self.join(tx, new.id, organization_id, Role.OWNER, actor_id=new.id, address=address)

            try:
                await self._db.write(work)
            except UniqueViolation:
                by_name = {"username": new.username}
                if await self._db.one(USER_BY_USERNAME, by_name) or await self.user_by_name(new.email):
                    raise await self.taken(new) from None
            else:
                return new.id
        raise _taken("organization", "Choose another name for the organization.")

    async def add_membership(
        self, user_id: str, organization_id: str, role: Role, *, actor_id: str | None = None
    ) -> None:
        """Let a user into an organization. Raises Conflict when the user is in it already."""

        async def work(tx: Transaction) -> None:
            await self.join(tx, user_id, organization_id, role, actor_id=actor_id)

        try:
            await self._db.write(work)
        except UniqueViolation:
            raise Conflict("The user is a member of this organization already.") from None

    async def organization_by_name(self, name: str) -> Organization:
        """Return an organization. Raises NotFound."""
        found = await self._db.one(ORGANIZATION_BY_NAME, {"name": name})
        if found is None:
            raise NotFound(f"There is no organization called '{name}'.")
        return found

    def normal_name(self, typed: str) -> str:
        """Return a user name or e-mail address, as somebody typed it, in the form in which it is stored."""
        return searched_name(typed)

    async def user_by_name(self, typed: str) -> User | None:
        """Return the user with this user name or e-mail address, as somebody typed it, or None."""
        name = searched_name(typed)
        if "@" in name:
            return await self._db.one(USER_BY_EMAIL, {"email": name})
        return await self._db.one(USER_BY_USERNAME, {"username": name})

    async def user_by_id(self, user_id: str, reader: Reader | None = None) -> User | None:
        """Return the user with this id, or None; within a transaction when that is the ``reader``."""
        return await (reader or self._db).one(USER_BY_ID, {"user_id": user_id})

    def normal_email(self, typed: str) -> str:
        """Return an e-mail address as it is stored. Raises InvalidParameters for what cannot be one."""
        return check_email(typed)

    async def memberships_of(self, user_id: str, reader: Reader | None = None) -> list[Membership]:
        """Return the organizations that a user belongs to, the earliest membership first."""
        return await (reader or self._db).all(MEMBERSHIPS_OF, {"user_id": user_id})

    async def identity(self, user_id: str, organization_id: str, reader: Reader | None = None) -> Identity | None:
        """Return who a user is in an organization, or None for a disabled user and for one who is no member."""
        return await (reader or self._db).one(IDENTITY, {"user_id": user_id, "organization_id": organization_id})

    async def first_identity(self, typed: str) -> Identity:
        """Return who a user is in the organization that they joined first, for the operator. Raises NotFound."""
        user = await self.user_by_name(typed)
        if user is None:
            raise NotFound(f"There is no user called '{typed}'.")
        for membership in await self.memberships_of(user.id):
            found = await self.identity(user.id, membership.organization_id)
            if found is not None:
                return found
        raise NotFound(f"The user '{typed}' is disabled, or belongs to no organization.")

    async def password_is_right(self, user: User | None, password: Secret, *, known_device: bool = False) -> bool:
        """Tell whether this is the user's password; nobody's, a disabled user's and a missing one take as long (W5).

        A right password that was hashed with other parameters than today's is hashed anew. Raises RateLimited.
        """
        stored = user.password_hash if user is not None and user.may_sign_in else None
        verdict = await self._passwords.verify(stored, password, known=known_device)
        if user is None or stored is None or verdict is Verdict.WRONG:
            return False
        if verdict is Verdict.RIGHT_AND_OLD:
            await self._refresh_hash(user.id, stored, password)
        return True

    async def password_still_stands(self, tx: Transaction, user: User) -> bool:
        """Tell whether the password is still the one that was checked, and the user may still sign in.

        Between the check and the transaction that rests on it, somebody may have changed the one or the other.
        """
        now = await tx.one(USER_BY_ID, {"user_id": user.id})
        return now is not None and now.may_sign_in and now.password_updated_at == user.password_updated_at

    async def hash_new_password(self, user: User, password: Secret) -> str:
        """Return the hash of a password that may become the user's. Raises InvalidParameters and RateLimited."""
        return await self._hash_new(password, user.username, user.email)

    async def keep_password(
        self,
        tx: Transaction,
        user: User,
        hashed: str,
        *,
        actor_id: str | None = None,
        organization_id: str | None = None,
        address: str | None = None,
    ) -> None:
        """Make ``hashed`` the user's password, within a transaction that also ends the user's sessions (W2).

        ``organization_id`` is the organization for which somebody else sets it, whose people then see that it was done.
        Its time is later than that of the one before, be it by a second, for by it ``password_still_stands`` tells them
        apart.
        """
        at = max(self._clock.now(), (user.password_updated_at or 0) + 1)
        await tx.run(SET_PASSWORD, {"user_id": user.id, "new_hash": hashed, "at": at})
        await tx.announce(f"user:{user.id}")
        await self._audit.record(
            tx,
            "user:set-password",
            actor_id=actor_id,
            organization_id=organization_id,
            target=user.id,
            address=address,
        )

    async def _hash_new(self, password: Secret, username: str, email: str) -> str:
        checked = check_new_password(password, shortest=self._shortest_password, username=username, email=email)
        return await self._passwords.hash(checked)

    async def _refresh_hash(self, user_id: str, old_hash: str, password: Secret) -> None:
        try:
            new_hash = await self._passwords.hash(password)
        except RateLimited:  # the old hash is still good; the next sign-in tries again
            return

        async def work(tx: Transaction) -> None:
            await tx.run(REFRESH_HASH, {"user_id": user_id, "old_hash": old_hash, "new_hash": new_hash})

        await self._db.write(work)

    async def join(
        self,
        tx: Transaction,
        user_id: str,
        organization_id: str,
        role: Role,
        *,
        actor_id: str | None = None,
        address: str | None = None,
    ) -> None:
        """Let a user into an organization in ``tx``. Raises UniqueViolation when the user is in it already."""
        row = {
            "user_id": user_id,
            "organization_id": organization_id,
            "role": role.value,
            "created_at": self._clock.now(),
        }
        await tx.run(INSERT_MEMBERSHIP, row)
        await self._audit.record(
            tx,
            "membership:create",
            actor_id=actor_id,
            organization_id=organization_id,
            target=user_id,
            address=address,
            role=role.value,
        )


def _organization_row(organization_id: str, name: str, display_name: str, now: int) -> dict[str, str | int | None]:
    return {
        "id": organization_id,
        "name": name,
        "display_name": display_name,
        **NO_POLICIES,
        "created_at": now,
    }


def _taken(field: str, sentence: str) -> Conflict:
    return Conflict(sentence, fields=[FieldProblem("body", field, "taken", sentence)])
