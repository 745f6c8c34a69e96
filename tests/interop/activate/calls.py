"""Every function of the SDK that this server answers, with arguments that fit, and why the others are not answered.

The list of functions is read from the package itself: a release that adds one fails the test that holds it against
docs/compatibility.md.
"""

import builtins
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

import parallelworks_client.api
from parallelworks_client.api import api_keys, authentication, login_sessions
from parallelworks_client.models.admin_password_reset_input_body import AdminPasswordResetInputBody
from parallelworks_client.models.create_api_key_input_body import CreateAPIKeyInputBody
from parallelworks_client.models.decide_device_request_input_body import DecideDeviceRequestInputBody
from parallelworks_client.models.delete_mfa_input_body import DeleteMfaInputBody
from parallelworks_client.models.device_code_body import DeviceCodeBody
from parallelworks_client.models.mfa_login_input_body import MfaLoginInputBody
from parallelworks_client.models.password_change_input_body import PasswordChangeInputBody
from parallelworks_client.models.password_login_input_body import PasswordLoginInputBody
from parallelworks_client.models.password_reset_email_input_body import PasswordResetEmailInputBody
from parallelworks_client.models.password_reset_verify_input_body import PasswordResetVerifyInputBody
from parallelworks_client.models.post_impersonate_input_body import PostImpersonateInputBody
from parallelworks_client.models.verify_otp_input_body import VerifyOtpInputBody
from parallelworks_client.models.web_authn_verify_input_body import WebAuthnVerifyInputBody
from parallelworks_client.types import Unset

GROUPS: Final = (authentication, api_keys, login_sessions)
"""The groups of functions that are about signing in, and so are to be answered."""
MORE: Final = (
    "user_settings.ping_handler",
    "platform.get_health_check",
    "policies.get_organization_policies",
    "policies.get_platform_policies",
    "policies.delete_organization_policy",
    "policies.delete_platform_policy",
    "policies.set_organization_max_api_key_ttl_policy",
    "policies.set_organization_enforce_mfa_policy",
    "policies.set_organization_disable_password_login_policy",
    "policies.set_organization_disable_device_login_policy",
    "policies.set_platform_max_api_key_ttl_policy",
    "policies.set_platform_disable_password_login_policy",
    "policies.set_platform_disable_device_login_policy",
)
"""Functions of other groups that are answered as well."""

NEW_PASSWORD: Final = "Nine green Hills, 2 rivers!"
NO_ID: Final = "01a200b5-5d83-7239-b7db-b88f879b13b1"
A_LINK: Final = f"{NO_ID}.99999999999.{'x' * 43}"
"""What has the form of the end of a letter's link."""


@dataclass(frozen=True)
class Call:
    """A call of a function with arguments that fit. ``public`` calls need no credential; ``stored`` ones a database."""

    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    public: bool = False
    stored: bool = True
    limited: bool = True


def second_factor(method: str, **values: Any) -> MfaLoginInputBody:
    """Return what shows a second factor."""
    return MfaLoginInputBody.from_dict({"mfaMethod": method, "values": values})


_HERE: Final = ("acme", "bob")

CALLS: Final[dict[str, Call]] = {
    "api_keys.create_apikey": Call(options={"body": CreateAPIKeyInputBody(title="a key")}),
    "api_keys.delete_apikey": Call(("no such key",)),
    "api_keys.get_apikeys": Call(),
    "login_sessions.list_user_login_sessions": Call(_HERE),
    "login_sessions.revoke_user_login_session": Call((*_HERE, NO_ID)),
    "login_sessions.revoke_user_login_sessions": Call(_HERE),
    "authentication.decide_oidc_device_request": Call(
        options={"body": DecideDeviceRequestInputBody(approve=True, user_code="BCDF-GHJK")}
    ),
    "authentication.delete_impersonate": Call(),
    "authentication.delete_mfa": Call(options={"body": DeleteMfaInputBody(mfa_method="otp")}),
    "authentication.delete_user_mfa": Call(_HERE),
    "authentication.get_auth_session": Call(),
    "authentication.get_auth_session_deprecated": Call(),
    "authentication.get_auth_token": Call(options={"ttl": 24}),
    "authentication.get_keys": Call(public=True, limited=False),
    "authentication.get_mfa_settings": Call(),
    "authentication.get_oidc_configuration": Call(public=True, stored=False, limited=False),
    "authentication.get_oidc_userinfo": Call(),
    "authentication.get_whoami": Call(),
    "authentication.get_whoami_organization": Call(),
    "authentication.list_oidc_connected_apps": Call(),
    "authentication.lookup_oidc_device_request": Call(options={"body": DeviceCodeBody(user_code="BCDF-GHJK")}),
    "authentication.patch_password": Call(
        options={"body": PasswordChangeInputBody(new_password=NEW_PASSWORD, old_password="not the old one")}
    ),
    "authentication.post_add_mfa_otp": Call(),
    "authentication.post_add_mfa_webauthn": Call(),
    "authentication.post_impersonate": Call(
        options={"body": PostImpersonateInputBody(username="bob", reason="He asked for help.")}
    ),
    "authentication.post_logout": Call(),
    "authentication.post_mfa_login": Call(options={"body": second_factor("otp", code="123456")}, public=True),
    "authentication.post_oidc_device_authorization": Call(public=True),
    "authentication.post_oidc_introspect": Call(),
    "authentication.post_oidc_revoke": Call(public=True),
    "authentication.post_oidc_token": Call(public=True),
    "authentication.post_oidc_userinfo": Call(),
    "authentication.post_password_login": Call(
        options={"body": PasswordLoginInputBody(username="ada", password="not her password")}, public=True
    ),
    "authentication.post_password_reset_email": Call(
        options={"body": PasswordResetEmailInputBody(username="ada")}, public=True
    ),
    "authentication.post_password_reset_verify": Call(
        options={"body": PasswordResetVerifyInputBody(new_password=NEW_PASSWORD, token=A_LINK)}, public=True
    ),
    "authentication.post_verify_otp": Call(options={"body": VerifyOtpInputBody(code="123456")}),
    "authentication.post_verify_webauthn": Call(options={"body": WebAuthnVerifyInputBody(response={}, name="a key")}),
    "authentication.post_webauthn_auth_options": Call(public=True),
    "authentication.put_organization_user_password": Call(
        _HERE,
        {"body": AdminPasswordResetInputBody(confirm_password=NEW_PASSWORD, new_password=NEW_PASSWORD)},
    ),
    "authentication.revoke_oidc_connected_app": Call(("pw-cli",)),
    "authentication.sign_out_oidc_connected_device": Call(("pw-cli", NO_ID)),
    "user_settings.ping_handler": Call(),
    "platform.get_health_check": Call(public=True, stored=False, limited=False),
    "policies.get_organization_policies": Call(("acme",)),
    "policies.get_platform_policies": Call(),
    "policies.delete_organization_policy": Call(("acme", "max-api-key-ttl")),
    "policies.delete_platform_policy": Call(("max-api-key-ttl",)),
    "policies.set_organization_max_api_key_ttl_policy": Call(("acme",), {"body": 90}),
    "policies.set_organization_enforce_mfa_policy": Call(("acme",), {"body": False}),
    "policies.set_organization_disable_password_login_policy": Call(("acme",), {"body": False}),
    "policies.set_organization_disable_device_login_policy": Call(("acme",), {"body": False}),
    "policies.set_platform_max_api_key_ttl_policy": Call((), {"body": 90}),
    "policies.set_platform_disable_password_login_policy": Call((), {"body": False}),
    "policies.set_platform_disable_device_login_policy": Call((), {"body": False}),
}
"""What is answered, by group and function."""


def functions() -> Iterator[str]:
    """Yield the name of every function of the groups about signing in, as the installed package has them."""
    for group in GROUPS:
        name = group.__name__.rpartition(".")[2]
        for module in pkgutil.iter_modules(group.__path__):
            yield f"{name}.{module.name}"


def function(name: str) -> ModuleType:
    """Return the module of a function of the SDK.

    ``post_mfa_login`` of 7.122.0 names a type that it does not import, so no program can import it as it is. Here it
    finds the name among the built-in ones, and is run unchanged.
    """
    place = f"{parallelworks_client.api.__name__}.{name}"
    try:
        return importlib.import_module(place)
    except NameError:
        builtins.__dict__["Unset"] = Unset
        try:
            return importlib.import_module(place)
        finally:
            del builtins.__dict__["Unset"]
