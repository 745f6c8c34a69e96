"""The statements of device sign-in. Each state change is one conditional statement: who comes second touches no row."""

from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    BigInteger,
    Text,
    bindparam,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from keystead.db import Command, Query, upsert
from keystead.db.identity import IDENTITY_COLUMNS, joined_to_identity
from keystead.db.tables import (
    audit_event,
    client,
    client_generation,
    device_authorization,
    oauth_grant,
    platform_policy,
    revocation,
    switched_off_client,
    wrong_guess,
)
from keystead.oauth.models import (
    ApprovedDevice,
    DeviceAuthorization,
    DeviceState,
    Grant,
    GrantHolder,
    PolledDevice,
    RedeemedDevice,
)
from keystead.oauth.rules import FIRST_GENERATION

_device = device_authorization.c
_grant = oauth_grant.c
_DEVICE_COLUMNS = [column for column in _device if column.name not in {"device_code_hash", "user_code_hash"}]

# Clients

GENERATION_OF = Query(
    select(client_generation.c.generation).where(client_generation.c.fingerprint == bindparam("fingerprint")), int
)
NEXT_GENERATION = Command(
    upsert(client_generation)
    .values(fingerprint=bindparam("fingerprint"), generation=1)
    .on_conflict_do_update(index_elements=["fingerprint"], set_={"generation": client_generation.c.generation + 1})
)
KEEP_CLIENT = Command(upsert(client).values({c.name: bindparam(c.name) for c in client.c}).on_conflict_do_nothing())
SWITCH_OFF = Command(
    upsert(switched_off_client)
    .values({c.name: bindparam(c.name) for c in switched_off_client.c})
    .on_conflict_do_nothing()
)
SWITCH_ON = Command(delete(switched_off_client).where(switched_off_client.c.client_id == bindparam("client")))
IS_SWITCHED_OFF = Query(
    select(switched_off_client.c.client_id).where(switched_off_client.c.client_id == bindparam("client")), str
)

# Device authorizations

_UNDECIDED = {
    "last_poll_ms", "decided_at", "decided_by", "decided_session", "organization_id", "granted_scopes",
}  # fmt: skip
_FRESH = [column for column in _device if column.name not in _UNDECIDED]
_generation = (
    select(client_generation.c.generation)
    .where(client_generation.c.fingerprint == bindparam("fingerprint"))
    .scalar_subquery()
)
_switched_off = select(switched_off_client.c.client_id).where(
    switched_off_client.c.client_id == bindparam("new_client_id", type_=Text)
)
_no_devices = select(platform_policy.c.id).where(platform_policy.c.id == 1, platform_policy.c.device_sign_in_off == 1)
ISSUE_DEVICE = Command(
    insert(device_authorization).from_select(
        [column.name for column in _FRESH],
        select(*(bindparam(f"new_{column.name}", type_=column.type) for column in _FRESH)).where(
            func.coalesce(_generation, literal_column("0")) == bindparam("generation", type_=BigInteger),
            ~_switched_off.exists(),
            ~_no_devices.exists(),
        ),
    )
)
"""Store a fresh device authorization, unless its client was deleted or is switched off, or all devices are."""

_POLLED = [_device[name] for name in PolledDevice.__struct_fields__]
POLLED_DEVICE = Query(select(*_POLLED).where(_device.device_code_hash == bindparam("hash")), PolledDevice)
DEVICE_BY_USER_CODE = Query(
    select(*_DEVICE_COLUMNS).where(_device.user_code_hash == bindparam("hash")), DeviceAuthorization
)
_arrived = func.json_each(bindparam("arrived", type_=JSON)).table_valued(
    column("key", Text), column("value", JSON), name="arrived"
)
_named = func.json_each(bindparam("ids", type_=JSON)).table_valued(column("key", Text), name="named")
POLLED_DEVICES = Query(select(*_POLLED).where(_device.id.in_(select(_named.c.key))), PolledDevice)
"""The device authorizations whose ids are the names in a JSON object."""
_arrived_at = cast(cast(_arrived.c.value, Text), BigInteger)
RECORD_ARRIVALS = Command(
    update(device_authorization)
    .where(
        _device.id == _arrived.c.key,
        _device.state == DeviceState.PENDING.value,
        or_(
            _device.last_poll_ms.is_(None),
            _device.last_poll_ms < _arrived_at,
            _device.last_poll_ms > bindparam("now_ms"),  # by a clock that was ahead of ours, or was set back
        ),
    )
    .values(last_poll_ms=_arrived_at)
)
"""Keep the arrivals of polls: a JSON object of device ids and Unix milliseconds. A later arrival stays."""
GROW_INTERVAL = Command(
    update(device_authorization)
    .where(
        _device.id == bindparam("device_id"),
        _device.state == DeviceState.PENDING.value,
        _device.expires_at > bindparam("now"),
    )
    .values(interval=_device.interval + bindparam("grow"), last_poll_ms=bindparam("now_ms"))
)
DECIDE = Command(
    update(device_authorization)
    .where(
        _device.id == bindparam("device_id"),
        _device.state == DeviceState.PENDING.value,
        _device.expires_at > bindparam("now"),
    )
    .values(
        state=bindparam("decided_state"),
        decided_at=bindparam("now"),
        decided_by=bindparam("user_id"),
        decided_session=bindparam("session_id"),
        organization_id=bindparam("organization"),
        granted_scopes=bindparam("granted"),
    )
)
CONSUME = Query(
    update(device_authorization)
    .where(
        _device.id.in_(select(_named.c.key)),
        _device.state == DeviceState.APPROVED.value,
        _device.expires_at > bindparam("now"),
    )
    .values(state=DeviceState.CONSUMED.value)
    .returning(*(_device[name] for name in RedeemedDevice.__struct_fields__)),
    RedeemedDevice,
)
"""Take those of the named device authorizations that are approved; what was taken is answered, and nothing else."""
# By the audit log, which has an index of what each person did; another one here would cost every sign-in.
_approved_by = select(audit_event.c.target).where(
    audit_event.c.actor_id == bindparam("user_id"),
    audit_event.c.at >= bindparam("since"),
    audit_event.c.type == "device:approve",
)
_DENY = (
    update(device_authorization)
    .where(
        _device.id.in_(_approved_by),
        _device.decided_by == bindparam("user_id"),
        _device.state == DeviceState.APPROVED.value,
    )
    .values(state=DeviceState.DENIED.value)
    .returning(_device.id, _device.organization_id)
)
_OF_CLIENT = _device.client_id == bindparam("client")
_IN_ORGANIZATION = _device.organization_id == bindparam("organization")
DENY_APPROVED_IN = Query(_DENY.where(_IN_ORGANIZATION), ApprovedDevice)
DENY_APPROVED_OF_CLIENT = Query(_DENY.where(_OF_CLIENT), ApprovedDevice)
DENY_APPROVED_OF_CLIENT_IN = Query(_DENY.where(_OF_CLIENT, _IN_ORGANIZATION), ApprovedDevice)
"""Take back what a person approved since a Unix second and no client has redeemed."""
FORGET_DEVICES_OF_CLIENT = Command(delete(device_authorization).where(_device.client_id == bindparam("client")))

# Grants

_ID_LENGTH = 36
_pair = func.json_each(bindparam("pairs", type_=JSON)).table_valued(column("key", Text), name="pair")
_approved_at = func.coalesce(_device.decided_at, bindparam("now", type_=BigInteger))
_until = _approved_at + bindparam("grant_ttl", type_=BigInteger)
_refresh_until = bindparam("refresh_until", type_=BigInteger)
_OPENED = {
    "id": func.substr(_pair.c.key, _ID_LENGTH + 1),
    "client_id": _device.client_id,
    "user_id": _device.decided_by,
    "organization_id": _device.organization_id,
    "scopes": _device.granted_scopes,
    "address": _device.address,
    "device_name": _device.device_name,
    "created_at": _approved_at,
    "expires_at": _until,
    "generation": literal_column(str(FIRST_GENERATION)),
    "rotated_at": bindparam("now", type_=BigInteger),
    "refresh_expires_at": case((_until < _refresh_until, _until), else_=_refresh_until),
}
OPEN_GRANTS = Command(
    insert(oauth_grant).from_select(
        list(_OPENED),
        select(*_OPENED.values()).join_from(
            _pair, device_authorization, _device.id == func.substr(_pair.c.key, 1, _ID_LENGTH)
        ),
    )
)
"""Open the grants of device authorizations that were just consumed.

The names in a JSON object say which is whose: the id of a device authorization, and the id of its grant behind it.
"""
_grants = select(
    *IDENTITY_COLUMNS,
    _grant.id.label("grant_id"),
    _grant.client_id,
    _grant.scopes,
    _grant.created_at,
    _grant.expires_at,
    _grant.generation,
    _grant.rotated_at,
    _grant.refresh_expires_at,
    _grant.ended_at,
).select_from(joined_to_identity(oauth_grant))
GRANT_BY_ID = Query(_grants.where(_grant.id == bindparam("grant_id")), Grant)
GRANTS_BY_ID = Query(_grants.where(_grant.id.in_(select(_named.c.key))), Grant)
"""The grants whose ids are the names in a JSON object."""
GRANT_HOLDER = Query(
    select(*IDENTITY_COLUMNS, _grant.client_id)
    .select_from(joined_to_identity(oauth_grant))
    .where(_grant.id == bindparam("grant_id"), _grant.ended_at.is_(None), _grant.expires_at > bindparam("now")),
    GrantHolder,
)
"""Who a grant belongs to that has not ended; a person who may not act any more finds no row."""
ROTATE = Command(
    update(oauth_grant)
    .where(_grant.id == bindparam("grant_id"), _grant.generation == bindparam("spent"), _grant.ended_at.is_(None))
    .values(
        generation=_grant.generation + 1,
        rotated_at=bindparam("now"),
        refresh_expires_at=bindparam("refresh_until"),
    )
)
END_GRANT = Command(
    update(oauth_grant)
    .where(_grant.id == bindparam("grant_id"), _grant.ended_at.is_(None))
    .values(ended_at=bindparam("now"), ended_because=bindparam("because"))
)


@dataclass(frozen=True, slots=True)
class GrantOwner:
    """Whose grant it was, for the audit log."""

    user_id: str
    organization_id: str
    client_id: str


DELETE_GRANT = Query(
    delete(oauth_grant)
    .where(_grant.id == bindparam("grant_id"))
    .returning(_grant.user_id, _grant.organization_id, _grant.client_id),
    GrantOwner,
)
DELETE_GRANTS_OF_USER_IN = Command(
    delete(oauth_grant).where(
        _grant.user_id == bindparam("user_id"), _grant.organization_id == bindparam("organization_id")
    )
)
ANNOUNCE_GRANTS_OF_CLIENT = Command(
    insert(revocation).from_select(
        ["subject", "at"],
        select(literal("grant:").concat(_grant.id), bindparam("now", type_=BigInteger)).where(
            _grant.client_id == bindparam("client"), _grant.ended_at.is_(None)
        ),
    )
)
"""Tell every process of the grants of a client that end with it."""
DELETE_GRANTS_OF_CLIENT = Command(delete(oauth_grant).where(_grant.client_id == bindparam("client")))

# Wrong user codes


@dataclass(frozen=True, slots=True)
class Guesses:
    """How many wrong codes were tried within the hour, and when the oldest of them was."""

    tried: int
    oldest: int | None


GUESSES = Query(
    select(
        # The sum of whole numbers is a decimal one on PostgreSQL.
        func.coalesce(func.sum(wrong_guess.c.count), literal_column("0")).cast(BigInteger).label("tried"),
        func.min(wrong_guess.c.window_start).label("oldest"),
    ).where(wrong_guess.c.subject == bindparam("subject"), wrong_guess.c.window_start > bindparam("since")),
    Guesses,
)
COUNT_GUESS = Command(
    upsert(wrong_guess)
    .values({c.name: bindparam(c.name) for c in wrong_guess.c if c.name != "count"} | {"count": 1})
    .on_conflict_do_update(index_elements=["subject", "window_start"], set_={"count": wrong_guess.c.count + 1})
)
