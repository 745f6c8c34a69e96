"""What is sent and answered under /api/sso/mfa."""

from typing import Any, Literal

from pydantic import Field

from keystead.activate.shapes import Sent, Shape


class Setting(Shape):
    """One second factor."""

    id: str = Field(description="Its id; `otp` for the authenticator app.")
    type: Literal["otp", "webauthn"] = Field(description="An authenticator app (`otp`) or a passkey (`webauthn`).")
    enabled: bool = Field(description="Always true: what was removed is not listed.")
    createdAt: str = Field(description="When it was added.", json_schema_extra={"format": "date-time"})  # noqa: N815
    updatedAt: str = Field(description="The same.", json_schema_extra={"format": "date-time"})  # noqa: N815
    name: str = Field(description="What the person calls it.")


class FactorSettings(Shape):
    """The person's second factors."""

    enabled: bool = Field(description="Whether there is a second factor, which is asked for at each sign-in.")
    enforceWebAuthnMfa: bool = Field(description="Always false: no organization asks for passkeys.")  # noqa: N815
    webAuthnKeyRequiresReplacement: bool = Field(description="Always false.")  # noqa: N815
    mfaSettings: list[Setting] = Field(description="The authenticator app, then the passkeys.")  # noqa: N815


class NewApp(Shape):
    """An authenticator app that is not stored until a code of it was shown."""

    qrImage: str = Field(description="A QR code for the app, as a PNG in base64.")  # noqa: N815
    secret: str = Field(description="The same secret, to be typed in.")


class AppCode(Sent):
    """The body that confirms an authenticator app."""

    code: str = Field(description="The code that the app shows now.", min_length=1, max_length=100)


class Added(Shape):
    """A second factor was added."""

    message: str = Field(description="What was done, in a sentence.")
    recoveryCodes: list[str] | None = Field(  # noqa: N815
        default=None,
        description="With the first second factor: ten codes, each good once in its place. Nobody can show them again.",
    )


class Parameter(Shape):
    """A kind of key that may be made: an algorithm of COSE."""

    alg: int
    type: str


class Party(Shape):
    """Who asks for the passkey."""

    id: str
    name: str


class Person(Shape):
    """Whose passkey it will be."""

    id: str
    name: str
    displayName: str  # noqa: N815


class Selection(Shape):
    """What the authenticator should be able to do."""

    residentKey: str | None = None  # noqa: N815
    requireResidentKey: bool | None = None  # noqa: N815
    userVerification: str | None = None  # noqa: N815


class Descriptor(Shape):
    """A passkey that there is already."""

    id: str
    type: str


class Creation(Shape):
    """What `navigator.credentials.create` takes, in JSON (W3C Web Authentication, section 5.4)."""

    challenge: str
    pubKeyCredParams: list[Parameter]  # noqa: N815
    rp: Party
    user: Person
    attestation: str
    authenticatorSelection: Selection  # noqa: N815
    timeout: int = Field(description="Milliseconds.")
    excludeCredentials: list[Descriptor]  # noqa: N815


class CreationOptions(Shape):
    """The options in the envelope that browsers take."""

    publicKey: Creation  # noqa: N815


class NewPasskey(Shape):
    """A passkey that is to be made."""

    options: CreationOptions


class MadePasskey(Sent):
    """The body that adds the passkey that an authenticator made."""

    response: Any = Field(description="The credential, as `PublicKeyCredential.toJSON()` gives it.")
    name: str = Field(default="Passkey", description="What to call it, up to 64 characters.")


class Removal(Sent):
    """The body that says what to remove: one of the two."""

    mfaMethod: str = Field(  # noqa: N815
        default="",
        description="`otp` for the authenticator app, `webauthn` for every passkey, or the id of one.",
        max_length=100,
    )
    removeAll: bool = Field(default=False, description="True to remove every second factor.")  # noqa: N815
