"""Where everything is, for clients that look before they speak (RFC 8414). Nothing in it is a secret."""

from typing import Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from keystead.kernel.problems import Unavailable
from keystead.kernel.scopes import Scope
from keystead.oauth.service import DEVICE_CODE as DEVICE_GRANT
from keystead.oauth.surfaces import DEVICE_CODE, INTROSPECT, REGISTER, REVOKE, TOKEN
from keystead.wire.documented import ANYWHERE, documented

METADATA: Final = "/.well-known/oauth-authorization-server"
LONGEST_CACHING: Final = 3_600
"""Seconds for which a client may keep it: addresses change with the public URL, scopes with a new version."""


class ServerMetadata(BaseModel):
    """What RFC 8414, section 2, and RFC 8628, section 4, let a server say of itself."""

    issuer: str = Field(description="The address of this server.")
    device_authorization_endpoint: str = Field(description="Where a device asks for its codes (RFC 8628).")
    token_endpoint: str = Field(description="Where codes and refresh tokens are exchanged for tokens.")
    revocation_endpoint: str = Field(description="Where a refresh token is taken back (RFC 7009).")
    introspection_endpoint: str = Field(description="Whether a token is good (RFC 7662).")
    registration_endpoint: str = Field(description="Where a client registers itself (RFC 7591).")
    jwks_uri: str = Field(description="The keys with which tokens are verified (RFC 7517).")
    service_documentation: str = Field(description="What each refusal means.")
    scopes_supported: list[str] = Field(description="Every scope there is.")
    response_types_supported: list[str] = Field(description="None: there is no authorization endpoint.")
    grant_types_supported: list[str] = Field(description="How tokens are asked for.")
    token_endpoint_auth_methods_supported: list[str] = Field(description="Clients have no secrets.")
    revocation_endpoint_auth_methods_supported: list[str] = Field(description="Clients have no secrets.")
    introspection_endpoint_auth_methods_supported: list[str] = Field(
        description="A bearer token or an API key, as a type of access token."
    )


class MetadataRoutes:
    """GET /.well-known/oauth-authorization-server, which is public."""

    def __init__(self, public_url: str) -> None:
        """Name addresses that begin with ``public_url``."""
        self._body = ServerMetadata(
            issuer=public_url,
            device_authorization_endpoint=public_url + DEVICE_CODE,
            token_endpoint=public_url + TOKEN,
            revocation_endpoint=public_url + REVOKE,
            introspection_endpoint=public_url + INTROSPECT,
            registration_endpoint=public_url + REGISTER,
            jwks_uri=public_url + "/.well-known/jwks.json",
            service_documentation=public_url + "/problems",
            scopes_supported=list(Scope),
            response_types_supported=[],
            grant_types_supported=[DEVICE_GRANT, "refresh_token"],
            token_endpoint_auth_methods_supported=["none"],
            revocation_endpoint_auth_methods_supported=["none"],
            introspection_endpoint_auth_methods_supported=["Bearer"],
        ).model_dump_json()

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(tags=["OAuth"])
        router.add_api_route(
            METADATA,
            self.metadata,
            methods=["GET"],
            summary="Where everything is",
            operation_id="server_metadata",
            response_model=ServerMetadata,
            responses=documented(*(problem for problem in ANYWHERE if problem is not Unavailable)),
        )
        return router

    async def metadata(self) -> Response:
        """Answer the addresses of the OAuth endpoints and what they take (RFC 8414)."""
        headers = {"Cache-Control": f"public, max-age={LONGEST_CACHING}"}
        return Response(self._body, media_type="application/json", headers=headers)
