"""Short-term tokens that a client makes for itself, with an access token: they can do no more and end with its grant.

Such a token carries the scopes of the access token that made it, and its row names the grant. Whatever ends the grant
ends its tokens in the same transaction, so that signing a client out leaves nothing behind that lives for a day.
"""

from typing import Final

from keystead.db import Transaction
from keystead.kernel.principal import Principal
from keystead.kernel.problems import Conflict, Unauthenticated
from keystead.tokens import store
from keystead.tokens.followers import REVOKED_TOKENS

MOST_OF_A_GRANT: Final = 100
"""Short-term tokens that are made under one grant within their lifetime, whether or not they are taken back.

So ending a grant is bounded work, and nobody fills the list of revoked tokens, which every verifier reads, by making
and revoking tokens in turn.
"""


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
    ended = await tx.run(store.REVOKE_OF_GRANT, {"grant_id": grant_id, "now": now})
    if ended:
        await tx.run(store.ANNOUNCE_OF_GRANT, {"grant_id": grant_id, "now": now})
        await tx.run(store.REMOVE_OF_GRANT, {"grant_id": grant_id})
        await tx.announce(REVOKED_TOKENS)
    return ended


async def end_with_client(tx: Transaction, client_id: str, now: int) -> int:
    """End what was made under all grants of a client that an operator deletes; its grants are still there."""
    ended = await tx.run(store.REVOKE_OF_CLIENT, {"client": client_id, "now": now})
    if ended:
        await tx.run(store.ANNOUNCE_OF_CLIENT, {"client": client_id, "now": now})
        await tx.run(store.REMOVE_OF_CLIENT, {"client": client_id})
        await tx.announce(REVOKED_TOKENS)
    return ended
