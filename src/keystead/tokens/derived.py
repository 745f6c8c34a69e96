"""Short-term tokens that are made with an access token or an API key: they can do no more, and end with what made them.

Such a token carries the scopes of what made it, and its row names the grant or the API key. Whatever ends that ends its
tokens in the same transaction, so that signing a client out, or deleting a key, leaves nothing behind that lives for a
day.
"""

from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Method, Principal
from keystead.kernel.problems import Conflict, Unauthenticated
from keystead.tokens import ending, store

MOST_OF_A_GRANT: Final = 100
"""Short-term tokens that are made under one grant within their lifetime, whether or not they are taken back.

So ending a grant is bounded work, and nobody fills the list of revoked tokens, which every verifier reads, by making
and revoking tokens in turn.
"""
MOST_OF_A_KEY: Final = 1_000
"""The same of one API key, which many machines may share: as much work when the key ends as a sign-in costs."""


async def end_of_maker(tx: Transaction, maker: Principal, now: int) -> int | None:
    """Return the Unix second at which what asks for a token ends at the latest, None for a key that does not expire.

    Raises what ``end_of_grant`` and ``end_of_key`` raise.
    """
    return await (end_of_key if maker.method is Method.API_KEY else end_of_grant)(tx, maker, now)


async def end_of_key(tx: Transaction, maker: Principal, now: int) -> int | None:
    """Return when an API key ends, None for one that does not expire.

    Raises Unauthenticated for one that was deleted, has expired or belongs to somebody else since a moment ago, and
    Conflict when too many tokens were made with it.
    """
    identity, key = maker.identity, {"api_key_id": maker.credential_id, "now": now}
    found = await tx.one(store.END_OF_KEY, key)
    if found is None or (found.user_id, found.organization_id) != (identity.user_id, identity.organization_id):
        raise Unauthenticated("This API key has ended. Use another one.")
    if (await tx.one(store.COUNT_OF_KEY, {**key, "most": MOST_OF_A_KEY}) or 0) >= MOST_OF_A_KEY:
        raise Conflict(
            f"This API key made {MOST_OF_A_KEY} short-term tokens that have not expired. It makes no more for now: use "
            "the last one until it expires, or the key itself."
        )
    return found.expires_at


async def end_of_grant(tx: Transaction, maker: Principal, now: int) -> int:
    """Return the Unix second at which the grant behind an access token ends at the latest.

    An access token outlives its grant by some minutes; it must not make anything then that lives longer. Raises
    Unauthenticated when the grant has ended, and Conflict when too many tokens were made under it.
    """
    grant = {"grant_id": maker.grant_id, "now": now}
    ends = await tx.one(store.END_OF_GRANT, grant)
    if ends is None:
        raise Unauthenticated("The sign-in behind this token has ended. Sign in again.")
    if (await tx.one(store.COUNT_OF_GRANT, {**grant, "most": MOST_OF_A_GRANT}) or 0) >= MOST_OF_A_GRANT:
        raise Conflict(
            f"This sign-in made {MOST_OF_A_GRANT} short-term tokens that have not expired. It makes no more for now."
        )
    return ends


async def end_with_grant(tx: Transaction, grant_id: str, now: int) -> int:
    """End what was made under a grant that ends, and return how many tokens that were."""
    whose = {"grant_id": grant_id}
    return await ending.end(
        tx, store.REVOKE_OF_GRANT, store.REMOVE_OF_GRANT, whose, now, announce=store.ANNOUNCE_OF_GRANT
    )


async def end_with_client(tx: Transaction, client_id: str, now: int) -> int:
    """End what was made under all grants of a client that an operator deletes; its grants are still there."""
    whose = {"client": client_id}
    return await ending.end(
        tx, store.REVOKE_OF_CLIENT, store.REMOVE_OF_CLIENT, whose, now, announce=store.ANNOUNCE_OF_CLIENT
    )


async def end_with_key(tx: Transaction, api_key_id: str, now: int) -> int:
    """End what was made with an API key that ends now, and return how many tokens that were."""
    whose = {"api_key_id": api_key_id}
    return await ending.end(tx, store.REVOKE_OF_KEY, store.REMOVE_OF_KEY, whose, now, announce=store.ANNOUNCE_OF_KEY)


async def end_with_app(tx: Transaction, app_id: str, now: int) -> int:
    """End what was made with all API keys of an app that is deleted; the keys are still there."""
    whose = {"app": app_id}
    return await ending.end(tx, store.REVOKE_OF_APP, store.REMOVE_OF_APP, whose, now, announce=store.ANNOUNCE_OF_APP)


async def end_later_with_key(tx: Transaction, api_key_id: str, now: int) -> None:
    """Let every process look up again what was made with an API key whose end was moved.

    Here its tokens end when it does, to the second. Who verifies them elsewhere goes by what they say: a token that
    was made before the key was rotated is taken there until it expires, a day at most, unless the key is deleted.
    """
    await tx.run(store.ANNOUNCE_OF_KEY, {"api_key_id": api_key_id, "now": now})
