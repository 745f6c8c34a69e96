"""The statements of the factors room."""

from typing import Final

from sqlalchemy import bindparam, delete, exists, func, literal, or_, select, update

from keystead.db import Command, Query, insert_into
from keystead.db.tables import passkey, recovery_code, totp
from keystead.factors.models import Passkey, StoredPasskey, StoredTotp

HAS_ANY: Final = Query(
    select(literal(1).label("found")).where(
        or_(
            exists().where(totp.c.user_id == bindparam("user_id")),
            exists().where(passkey.c.user_id == bindparam("user_id")),
        )
    ),
    int,
)

INSERT_TOTP: Final = Command(insert_into(totp))
TOTP_OF: Final = Query(
    select(totp.c.sealed_secret, totp.c.last_step).where(totp.c.user_id == bindparam("user_id")), StoredTotp
)
TOTP_SINCE: Final = Query(select(totp.c.created_at).where(totp.c.user_id == bindparam("user_id")), int)
# Only forward: of several that use one code at the same moment, one succeeds.
USE_STEP: Final = Command(
    update(totp)
    .where(totp.c.user_id == bindparam("user"), totp.c.last_step < bindparam("step"))
    .values(last_step=bindparam("step"))
)
REMOVE_TOTP: Final = Command(delete(totp).where(totp.c.user_id == bindparam("user_id")))

INSERT_PASSKEY: Final = Command(insert_into(passkey))
PASSKEYS_OF: Final = Query(
    select(
        passkey.c.id,
        passkey.c.credential_id,
        passkey.c.name,
        passkey.c.created_at,
        passkey.c.last_used_at,
    )
    .where(passkey.c.user_id == bindparam("user_id"))
    .order_by(passkey.c.created_at, passkey.c.id),
    Passkey,
)
COUNT_PASSKEYS: Final = Query(
    select(func.count().label("number")).select_from(passkey).where(passkey.c.user_id == bindparam("user_id")), int
)
PASSKEY_BY_CREDENTIAL: Final = Query(
    select(passkey.c.id, passkey.c.user_id, passkey.c.public_key, passkey.c.sign_count).where(
        passkey.c.credential_id == bindparam("credential_id")
    ),
    StoredPasskey,
)
# Only while the counter is the one that was looked at.
USE_PASSKEY: Final = Command(
    update(passkey)
    .where(passkey.c.id == bindparam("passkey_id"), passkey.c.sign_count == bindparam("seen"))
    .values(sign_count=bindparam("told"), last_used_at=bindparam("at"))
)
_MINE = (passkey.c.id == bindparam("passkey_id"), passkey.c.user_id == bindparam("owner"))
RENAME_PASSKEY: Final = Command(update(passkey).where(*_MINE).values(name=bindparam("new_name")))
REMOVE_PASSKEY: Final = Query(delete(passkey).where(*_MINE).returning(passkey.c.name), str)
REMOVE_PASSKEYS: Final = Command(delete(passkey).where(passkey.c.user_id == bindparam("user_id")))

INSERT_RECOVERY_CODE: Final = Command(insert_into(recovery_code))
RECOVERY_CODES_LEFT: Final = Query(
    select(func.count().label("number"))
    .select_from(recovery_code)
    .where(recovery_code.c.user_id == bindparam("user_id"), recovery_code.c.used_at.is_(None)),
    int,
)
USE_RECOVERY_CODE: Final = Command(
    update(recovery_code)
    .where(
        recovery_code.c.user_id == bindparam("user"),
        recovery_code.c.code_hash == bindparam("hash"),
        recovery_code.c.used_at.is_(None),
    )
    .values(used_at=bindparam("at"))
)
REMOVE_RECOVERY_CODES: Final = Command(delete(recovery_code).where(recovery_code.c.user_id == bindparam("user_id")))
