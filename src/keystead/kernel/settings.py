"""Settings: typed, from ``KEYSTEAD_*`` in the environment and from a TOML file; an unknown name is refused.

Every mistake is reported at once, each in a sentence. ``docs/settings.md`` is generated from the descriptions here.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Set
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from limits import parse
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from keystead.kernel.secrets import ISSUED_PREFIXES

PREFIX: Final = "KEYSTEAD_"
_IN_FILE: Final = "_file"
FILE_NAME: Final = "keystead.toml"
_VALKEY_SCHEMES: Final = frozenset({"valkey", "valkeys", "redis", "rediss"})


class SettingsError(Exception):
    """The settings hold one or more mistakes; ``problems`` has a sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        """Refuse to start, with every mistake that was found."""
        self.problems = problems
        super().__init__("\n".join(problems))


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _limit(value: str) -> str:
    try:
        parse(value)
    except ValueError:
        raise ValueError("write it as a number and a time, for instance 10/minute") from None
    return value


def _nobody() -> list[IPv4Network | IPv6Network]:
    return []


def _loopback() -> list[IPv4Network | IPv6Network]:
    return [IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")]


Networks = Annotated[list[IPv4Network | IPv6Network], BeforeValidator(_split)]
Limit = Annotated[str, BeforeValidator(_limit)]


class Settings(BaseModel):
    """What an operator can set. Durations are whole seconds unless their description says otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    public_url: str = Field("", description="The address under which people and programs reach this server.")
    product_name: str = Field("Keystead", description="The name that people see on the pages.", max_length=40)
    accent_color: str = Field(
        "", description="The colour of buttons and links on the pages, as #rrggbb. Default: Keystead's green."
    )
    logo: Path | None = Field(None, description="SVG or PNG file that the pages show beside the product's name.")
    master_secret: SecretStr | None = Field(
        None,
        description="Seals the server's keys; at least 32 characters. Default: a file in the data directory.",
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL, as postgresql://user:password@host:5432/name. Default: a file in the data directory.",
    )
    database_pool: int = Field(10, description="Most connections to PostgreSQL, for each process.", ge=1, le=200)
    database_notify: bool = Field(
        True,
        description="Hear of changes by LISTEN and NOTIFY; without, PostgreSQL is asked five times a second.",
    )
    valkey_url: SecretStr | None = Field(
        None,
        description="Valkey or Redis, as valkey://host:6379/0, in which the nodes share their rate limits.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="The server that sends e-mail, as smtp://user:password@host:587 or smtps://host:465.",
    )
    mail_from: str = Field("", description="The address that e-mail comes from, for instance desk@example.com.")
    sign_up: bool = Field(
        False, description="Let anybody sign up, with an organization of their own, once their e-mail is proven."
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file with the certificate chain, for TLS by Keystead itself."
    )
    tls_key: Path | None = Field(None, description="PEM file with the certificate's private key.")
    trusted_proxies: Networks = Field(
        default_factory=_nobody,
        description="Networks of proxies whose X-Forwarded-* headers are believed.",
    )
    metrics_networks: Networks = Field(
        default_factory=_loopback,
        description="Networks that may read /metrics.",
    )
    api_key_prefix: str = Field("pwt", description="The prefix of API keys.", pattern=r"^[a-z]{2,8}$")

    device_code_ttl: int = Field(600, description="Life of a device code and its user code.", ge=1, le=3_600)
    device_poll_interval: int = Field(1, description="Seconds a client must leave between polls.", ge=1, le=60)
    device_poll_hold: float = Field(
        3.8,
        description="Seconds for which a poll is held while the person decides; 0 answers at once.",
        ge=0,
        le=25,
    )
    device_polls_held: int = Field(20_000, description="Most polls held at once; more are answered at once.", ge=0)
    access_token_ttl: int = Field(600, description="Life of an access token.", ge=1, le=86_400)
    refresh_token_ttl: int = Field(604_800, description="Life of a refresh token.", ge=60)
    grant_ttl: int = Field(7_776_000, description="Life of a grant, from approval, however often refreshed.", ge=60)
    refresh_replay_ttl: int = Field(
        86_400, description="How long a spent refresh token gives its unused successor again.", ge=0
    )
    refresh_race_ttl: int = Field(
        60, description="The same once the successor was used, for slow processes that raced.", ge=0
    )
    short_term_token_ttl: int = Field(86_400, description="Life of a short-term token.", ge=1, le=86_400)
    session_idle_ttl: int = Field(43_200, description="A browser session ends when unused for so long.", ge=300)
    session_ttl: int = Field(604_800, description="A browser session ends after so long in any case.", ge=300)
    signing_key_ttl: int = Field(2_592_000, description="How long a signing key signs.", ge=3_600)
    signing_key_lead: int = Field(3_600, description="How long a new signing key is published before it signs.", ge=60)

    password_length: int = Field(8, description="Fewest characters of a new password.", ge=8, le=64)
    password_hashes: int = Field(
        1, description="Most passwords hashed at once in a process: about one less than its cores.", ge=1, le=64
    )
    password_queue: int = Field(8, description="Most sign-ins waiting for a password hash; more are refused.", ge=0)
    revoke_exposed_keys: bool = Field(
        False, description="Revoke an API key that came over plain HTTP, beyond flagging it."
    )
    credit_limit_cents: int = Field(
        100_000,
        description="Most credit that the embedded payment provider grants an organization, in cents.",
        ge=0,
    )
    audit_retention: int = Field(31_536_000, description="How long audit events are kept.", ge=86_400)

    limit_sign_in: Limit = Field(
        "10/minute",
        description="Sign-ins for each account from unknown devices, and for each address three times as many.",
    )
    limit_registration: Limit = Field("60/minute", description="Client registrations for each address.")
    limit_device_code: Limit = Field("60/minute", description="Device codes for each address.")
    limit_token: Limit = Field("600/minute", description="Token requests for each address.")
    limit_api: Limit = Field(
        "1200/minute",
        description="API requests for each credential; requests for the list of revoked tokens for each address.",
    )
    limit_invitations: Limit = Field("100/day", description="Invitations for each organization.")
    limit_wrong_codes: int = Field(10, description="Wrong user codes that an account may try in an hour.", ge=1)
    limit_wrong_codes_address: int = Field(30, description="Wrong user codes that an address may try in an hour.", ge=1)

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @field_validator("api_key_prefix")
    @classmethod
    def _nobody_elses(cls, value: str) -> str:
        if f"{value}_" in ISSUED_PREFIXES:
            raise ValueError("another kind of credential begins with it; choose another one, for instance pwt")
        return value

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        loopback = parts.hostname in {"localhost", "127.0.0.1", "::1"}
        if parts.scheme not in ({"http", "https"} if loopback else {"https"}) or not parts.hostname:
            raise ValueError("give the https address that people use, for instance https://auth.example.com")
        if parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise ValueError("give scheme, host and port only, without a path")
        if not _is_host(parts.hostname) or not _has_port_or_none(parts):
            raise ValueError("give a host and a port that people can reach, for instance https://auth.example.com:8443")
        return f"{parts.scheme}://{parts.netloc}".lower()

    @field_validator("database_url")
    @classmethod
    def _a_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_address(value, {"postgresql", "postgres"}):
            raise ValueError("give a PostgreSQL address, for instance postgresql://keystead@db.example.com/keystead")
        return value

    @field_validator("valkey_url")
    @classmethod
    def _a_valkey(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_address(value, _VALKEY_SCHEMES):
            raise ValueError("give a Valkey or Redis address, for instance valkey://cache.example.com:6379/0")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not (_is_address(value, {"smtp", "smtps"}) and _has_host(value)):
            raise ValueError("give a mail server, for instance smtp://keystead:password@mail.example.com:587")
        return value

    @field_validator("mail_from")
    @classmethod
    def _a_sender(cls, value: str) -> str:
        if value and re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", value) is None:
            raise ValueError("give an e-mail address, for instance desk@example.com")
        return value

    @field_validator("accent_color")
    @classmethod
    def _a_color(cls, value: str) -> str:
        if value and re.fullmatch(r"#[0-9a-fA-F]{6}", value) is None:
            raise ValueError("write a colour as #rrggbb, for instance #0d6a60")
        return value.lower()

    @field_validator("master_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("use at least 32 random characters")
        return value

    @model_validator(mode="after")
    def _mail_whole(self) -> "Settings":
        if (self.smtp_url is None) != (not self.mail_from):
            missing, there = ("mail_from", "smtp_url") if self.smtp_url else ("smtp_url", "mail_from")
            raise ValueError(f"{there} is set without {missing}: e-mail needs both, so set both or none")
        return self


def _is_address(value: SecretStr, schemes: Set[str]) -> bool:
    try:
        return urlsplit(value.get_secret_value()).scheme in schemes
    except ValueError:
        return False


def _has_host(value: SecretStr) -> bool:
    parts = urlsplit(value.get_secret_value())
    return bool(parts.hostname) and _has_port_or_none(parts)


def _is_host(host: str) -> bool:
    """Tell whether this is a host name in ASCII or an address."""
    if ":" in host:
        try:
            return IPv6Address(host) is not None
        except ValueError:
            return False
    return re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", host) is not None


def _has_port_or_none(parts: SplitResult) -> bool:
    try:
        return parts.port != 0 and not parts.netloc.endswith(":")
    except ValueError:
        return False


def load_settings(environment: Mapping[str, str] = os.environ, file: Path | None = None, **given: Any) -> Settings:
    """Return the settings; ``given`` beats the environment, the environment beats the file.

    Raises SettingsError with every mistake at once: unknown names, wrong types, values out of range.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    values.update(_from_file(file, problems))
    values.update(_from_environment(environment, problems))
    values.update({name: value for name, value in given.items() if value is not None})
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        mistakes = [f"{_place(found['loc'], environment)}{_sentence(found['msg'])}" for found in error.errors()]
        raise SettingsError(problems + mistakes) from None
    if problems:
        raise SettingsError(problems)
    return settings


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable.startswith(PREFIX) and variable not in OTHER_VARIABLES:
            name = variable.removeprefix(PREFIX).lower()
            if name in Settings.model_fields:
                values[name] = value
            elif name.removesuffix(_IN_FILE) in SECRETS and name.endswith(_IN_FILE):
                values[name.removesuffix(_IN_FILE)] = _secret_in_file(variable, value, environment, problems)
            else:
                problems.append(f"{variable}: there is no such setting{_suggestion(name, PREFIX, str.upper)}")
    return values


def _secret_in_file(variable: str, path: str, environment: Mapping[str, str], problems: list[str]) -> str | None:
    """Return the secret that a file holds, without the line end that editors add."""
    plain = variable.upper().removesuffix(_IN_FILE.upper())
    if plain in environment:
        problems.append(f"{variable}: {plain} is set as well; set one of the two")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{variable}: {path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}")
        return None


def _from_file(file: Path | None, problems: list[str]) -> dict[str, Any]:
    if file is None or not file.exists():
        return {}
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        problems.append(f"{file}: cannot be read as TOML: {error}")
        return {}
    unknown = sorted(content.keys() - Settings.model_fields.keys())
    problems.extend(f"{file}: there is no setting '{name}'{_suggestion(name, '', str)}" for name in unknown)
    return {name: value for name, value in content.items() if name in Settings.model_fields}


def _suggestion(name: str, prefix: str, spell: Any) -> str:
    close = get_close_matches(name, Settings.model_fields, n=1)
    return f"; did you mean {prefix}{spell(close[0])}?" if close else ""


def _place(location: tuple[int | str, ...], environment: Mapping[str, str]) -> str:
    """Return where a mistake was made, for the beginning of its line; nothing when it is in how settings fit."""
    if not location:
        return ""
    name = str(location[0])
    variable = PREFIX + name.upper()
    found = next((found for found in (variable + _IN_FILE.upper(), variable) if found in environment), name)
    return f"{found}: "


def _sentence(message: str) -> str:
    return message.removeprefix("Value error, ")


SECRETS: Final = frozenset({"database_url", "master_secret", "smtp_url", "valkey_url"})
"""Settings that are secret: each may stand in a file that KEYSTEAD_<NAME>_FILE names, as containers are given them."""
OTHER_VARIABLES: Final = frozenset(
    {
        "KEYSTEAD_API_KEY",
        "KEYSTEAD_TOKEN",
        "KEYSTEAD_URL",
        "KEYSTEAD_CONTEXT",
        "KEYSTEAD_CONFIG",
        "KEYSTEAD_CONFIG_DIR",
    }
)
"""Variables with our prefix that are no settings of the server: those of the command line and the SDK."""
