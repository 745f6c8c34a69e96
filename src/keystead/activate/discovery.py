"""Where everything of the OpenID provider is (OpenID Connect Discovery 1.0), and what of it is not offered."""

from typing import Final

from fastapi import APIRouter, Response
from pydantic import Field

from keystead.activate.openid import USERINFO, UserInfo
from keystead.activate.shapes import Shape
from keystead.kernel.problems import NotFound, Problem, RateLimited, Unavailable
from keystead.kernel.scopes import Scope
from keystead.oauth.metadata import LONGEST_CACHING
from keystead.oauth.service import DEVICE_CODE, REFRESH_TOKEN
from keystead.oauth.surfaces import DEVICE_AUTHORIZATION, INTROSPECT, OPENID_GIVEN, OPENID_REVOKE, OPENID_TOKEN
from keystead.tokens.id_tokens import CLAIMS
from keystead.tokens.models import Algorithm
from keystead.wire.documented import ANYWHERE, documented

CONFIGURATION: Final = "/api/oidc/.well-known/openid-configuration"
WELL_KNOWN: Final = "/.well-known/openid-configuration"
AUTHORIZE: Final = "/api/oidc/authorize"
END_SESSION: Final = "/api/oidc/end_session"
_NO_REDIRECTS: Final = "The authorization-code flow is not offered here. Use device sign-in."
_STATIC: Final[tuple[type[Problem], ...]] = tuple(problem for problem in ANYWHERE if problem is not Unavailable)


class OpenIdConfiguration(Shape):
    """What OpenID Connect Discovery 1.0, section 3, lets a provider say, and what existing clients require."""

    issuer: str = Field(description="The address of this server.")
    authorization_endpoint: str = Field(description="Required of every provider; it answers 404 here.")
    device_authorization_endpoint: str = Field(description="Where a device asks for its codes (RFC 8628).")
    token_endpoint: str = Field(description="Where codes and refresh tokens are exchanged for tokens.")
    userinfo_endpoint: str = Field(description="Who signed in.")
    introspection_endpoint: str = Field(description="Whether a token is good (RFC 7662).")
    revocation_endpoint: str = Field(description="Where a token is taken back (RFC 7009).")
    end_session_endpoint: str = Field(description="Expected by existing clients; it answers 404 here.")
    jwks_uri: str = Field(description="The keys with which ID tokens are verified (RFC 7517).")
    scopes_supported: list[str] = Field(description="Every scope that may be asked for.")
    claims_supported: list[str] = Field(description="What an ID token and the userinfo endpoint tell.")
    response_types_supported: list[str] = Field(description="None: nobody is redirected.")
    response_modes_supported: list[str] = Field(description="None: nobody is redirected.")
    grant_types_supported: list[str] = Field(description="How tokens are asked for.")
    subject_types_supported: list[str] = Field(description="Every client is told the same id of a user.")
    id_token_signing_alg_values_supported: list[str] = Field(description="How ID tokens are signed.")
    code_challenge_methods_supported: list[str] = Field(description="None: there is no authorization code.")
    token_endpoint_auth_methods_supported: list[str] = Field(description="Clients have no secrets.")
    revocation_endpoint_auth_methods_supported: list[str] = Field(description="Clients have no secrets.")
    introspection_endpoint_auth_methods_supported: list[str] = Field(
        description="A bearer token or an API key, as a type of access token (RFC 8414, section 2)."
    )


class DiscoveryRoutes:
    """The configuration at both of its addresses, and the two endpoints in it that only say that they are not there."""

    def __init__(self, public_url: str) -> None:
        """Name addresses that begin with ``public_url``."""
        self._body = OpenIdConfiguration(
            issuer=public_url,
            authorization_endpoint=public_url + AUTHORIZE,
            device_authorization_endpoint=public_url + DEVICE_AUTHORIZATION,
            token_endpoint=public_url + OPENID_TOKEN,
            userinfo_endpoint=public_url + USERINFO,
            introspection_endpoint=public_url + INTROSPECT,
            revocation_endpoint=public_url + OPENID_REVOKE,
            end_session_endpoint=public_url + END_SESSION,
            jwks_uri=public_url + "/api/platform/keys",
            scopes_supported=[*OPENID_GIVEN, *Scope],
            claims_supported=list(dict.fromkeys((*CLAIMS, *UserInfo.model_fields))),
            response_types_supported=[],
            response_modes_supported=[],
            grant_types_supported=[DEVICE_CODE, REFRESH_TOKEN],
            subject_types_supported=["public"],
            id_token_signing_alg_values_supported=[Algorithm.SHORT_TERM.value],
            code_challenge_methods_supported=[],
            token_endpoint_auth_methods_supported=["none"],
            revocation_endpoint_auth_methods_supported=["none"],
            introspection_endpoint_auth_methods_supported=["Bearer"],
        ).model_dump_json()

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(tags=["OpenID"])
        for path, name, limited in ((CONFIGURATION, "openid_configuration", True), (WELL_KNOWN, "well_known", False)):
            router.add_api_route(
                path,
                self.configuration,
                methods=["GET"],
                summary="Where everything of the OpenID provider is",
                operation_id=name,
                response_model=OpenIdConfiguration,
                responses=documented(*_STATIC, *((RateLimited,) if limited else ())),
            )
        for path, name in ((AUTHORIZE, "authorize"), (END_SESSION, "end_session")):
            for method in ("GET", "POST"):
                router.add_api_route(
                    path,
                    self.not_offered,
                    methods=[method],
                    status_code=NotFound.status,
                    response_class=Response,
                    summary="Not offered: use device sign-in",
                    operation_id=f"{method.lower()}_{name}",
                    responses=documented(*_STATIC, NotFound, RateLimited),
                )
        return router

    async def configuration(self) -> Response:
        """Answer the addresses of the endpoints and what they take (OpenID Connect Discovery 1.0, section 4.2)."""
        headers = {"Cache-Control": f"public, max-age={LONGEST_CACHING}"}
        return Response(self._body, media_type="application/json", headers=headers)

    async def not_offered(self) -> Response:
        """Answer 404: people sign in on the page for devices, and no client sends them anywhere."""
        raise NotFound(_NO_REDIRECTS)
