"""What a route demands: ``Depends(allow(Permission.X))`` is the one way to a principal; a route without it is public.

A test walks all routes and holds the public ones against a list, so that nothing becomes public by forgetting.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from keystead.kernel.permissions import Permission, check_permission
from keystead.kernel.principal import Principal
from keystead.wire.caller import caller_of

_declared = HTTPBearer(bearerFormat="JWT", scheme_name="HTTPBearer", description="An access token.", auto_error=False)


def allow(permission: Permission) -> Callable[[Request], Awaitable[Principal]]:
    """Return a dependency that answers the principal, or raises Unauthenticated, or the 403 that fits."""

    async def principal(request: Request) -> Principal:
        found = caller_of(request.scope).known()
        check_permission(found, permission)
        return found

    return principal


def allow_bearer(permission: Permission) -> Callable[..., Awaitable[Principal]]:
    """The same for the Account API, whose OpenAPI declares HTTP bearer authentication."""
    check = allow(permission)

    async def principal(
        request: Request, _: Annotated[HTTPAuthorizationCredentials | None, Security(_declared)]
    ) -> Principal:
        return await check(request)

    return principal
