"""Settings: every mistake is told at once, an unknown name is one, and no secret is repeated."""

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from keystead.kernel.settings import PREFIX, SECRETS, Settings, SettingsError, load_settings

MASTER = "0123456789abcdef0123456789abcdef"


def loaded(file: Path | None = None, /, **variables: str) -> Settings:
    """Return the settings of an environment that holds these variables, named without their prefix."""
    return load_settings({PREFIX + name.upper(): value for name, value in variables.items()}, file)


def problems(file: Path | None = None, /, **variables: str) -> list[str]:
    with pytest.raises(SettingsError) as refusal:
        loaded(file, **variables)
    return refusal.value.problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keystead.toml"


def test_without_anything_set_the_defaults_are_those_of_the_documentation() -> None:
    found = loaded()
    assert (found.device_code_ttl, found.access_token_ttl, found.refresh_token_ttl) == (600, 600, 604_800)
    assert (found.grant_ttl, found.short_term_token_ttl, found.session_ttl) == (7_776_000, 86_400, 604_800)


def test_an_unknown_variable_is_refused_and_the_nearest_name_is_offered() -> None:
    assert problems(acces_token_ttl="60") == [
        "KEYSTEAD_ACCES_TOKEN_TTL: there is no such setting; did you mean KEYSTEAD_ACCESS_TOKEN_TTL?"
    ]


def test_an_unknown_name_in_the_file_is_refused_and_the_nearest_name_is_offered(file: Path) -> None:
    file.write_text("log_levle = 'INFO'\n[nested]\nx = 1\n")
    assert problems(file) == [
        f"{file}: there is no setting 'log_levle'; did you mean log_level?",
        f"{file}: there is no setting 'nested'",
    ]


def test_every_mistake_is_told_at_once_wherever_it_stands(file: Path) -> None:
    file.write_text("device_code_ttl = 'soon'\nnonsense = 1\nlog_level = 'LOUD'\n")
    found = "\n".join(
        problems(
            file,
            public_url="http://auth.example.com",
            access_token_ttl="0",
            trusted_proxies="10.0.0.0/8, everybody",
            limit_token="often",
            master_secret="short",
            api_key_prefix="PWT_",
            nonsens="1",
        )
    )
    for place in (
        "device_code_ttl",
        "nonsense",
        "log_level",
        "KEYSTEAD_PUBLIC_URL",
        "KEYSTEAD_ACCESS_TOKEN_TTL",
        "KEYSTEAD_TRUSTED_PROXIES",
        "KEYSTEAD_LIMIT_TOKEN",
        "KEYSTEAD_MASTER_SECRET",
        "KEYSTEAD_API_KEY_PREFIX",
        "KEYSTEAD_NONSENS",
    ):
        assert place in found, place


@pytest.mark.parametrize("prefix", ["kss", "ksi", "kst", "pwd", "pwr", "pwoa"])
def test_api_keys_do_not_begin_as_another_kind_of_credential_does(prefix: str) -> None:
    assert problems(api_key_prefix=prefix) == [
        "KEYSTEAD_API_KEY_PREFIX: another kind of credential begins with it; choose another one, for instance pwt"
    ]


@pytest.mark.parametrize(
    "variables",
    [
        {"master_secret": "canary-8d1f6c"},
        {"public_url": "https://ada:canary-8d1f6c@auth.example.com"},
        {"public_url": "postgres://canary-8d1f6c"},
        {"limit_token": "canary-8d1f6c"},
        {"device_code_ttl": "canary-8d1f6c"},
        {"trusted_proxies": "canary-8d1f6c"},
        {"api_key_prefix": "canary-8d1f6c"},
        {"nonsense": "canary-8d1f6c"},
        {"revoke_exposed_keys": "canary-8d1f6c"},
    ],
)
def test_no_value_is_repeated_for_it_may_be_a_secret(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refusal:
        loaded(**variables)
    assert "canary" not in str(refusal.value)
    assert "canary" not in repr(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_master_secret_is_masked_in_the_settings_themselves() -> None:
    found = loaded(master_secret=MASTER)
    assert MASTER not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert found.master_secret is not None
    assert found.master_secret.get_secret_value() == MASTER


def test_a_file_that_is_no_toml_is_told_without_its_content(file: Path) -> None:
    file.write_text("master_secret = canary-8d1f6c\n")
    found = problems(file)
    assert len(found) == 1
    assert "cannot be read as TOML" in found[0]
    assert "canary" not in found[0]


def test_a_file_that_is_not_utf_8_is_told(file: Path) -> None:
    file.write_bytes(b"product_name = '\xff'\n")
    assert "cannot be read as TOML" in problems(file)[0]


def test_what_is_given_beats_the_environment_and_the_environment_beats_the_file(file: Path) -> None:
    file.write_text("device_code_ttl = 10\naccess_token_ttl = 10\nrefresh_token_ttl = 100\n")
    environment = {"KEYSTEAD_DEVICE_CODE_TTL": "20", "KEYSTEAD_ACCESS_TOKEN_TTL": "20"}
    found = load_settings(environment, file, device_code_ttl=30)
    assert (found.device_code_ttl, found.access_token_ttl, found.refresh_token_ttl) == (30, 20, 100)


def test_a_missing_file_is_no_mistake(file: Path) -> None:
    assert loaded(file) == Settings()


def test_variables_of_the_command_line_and_of_other_programs_are_no_settings() -> None:
    others = {"KEYSTEAD_API_KEY": "a", "KEYSTEAD_TOKEN": "b", "KEYSTEAD_CONFIG": "c", "PATH": "/bin", "KEYSTEADX": "d"}
    assert load_settings(others) == Settings()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://auth.example.com", "https://auth.example.com"),
        ("https://Auth.Example.COM/", "https://auth.example.com"),
        ("https://auth.example.com:8443", "https://auth.example.com:8443"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("", ""),
    ],
)
def test_the_public_address_is_an_origin(given: str, kept: str) -> None:
    assert loaded(public_url=given).public_url == kept


@pytest.mark.parametrize(
    "given",
    [
        "http://auth.example.com",
        "auth.example.com",
        "ftp://auth.example.com",
        "https://",
        "https:///path",
        "https://auth.example.com/path",
        "https://auth.example.com?a=b",
        "https://auth.example.com#a",
        "https://ada@auth.example.com",
        "javascript:alert(1)",
        "//auth.example.com",
        "http://localhost.evil.example",
        "https://auth.example.com:0",
        "https://auth.example.com:99999",
        "https://auth.example.com:https",
        "https://auth.example.com:",
        "https://auth example.com",
        "https://auth%2fexample.com",
    ],
)
def test_what_is_no_safe_origin_is_refused(given: str) -> None:
    (found,) = problems(public_url=given)
    assert found.startswith("KEYSTEAD_PUBLIC_URL: give ")


def test_networks_are_written_with_commas() -> None:
    found = loaded(trusted_proxies=" 10.0.0.0/8 ,, 2001:db8::/32,192.0.2.1 ").trusted_proxies
    assert found == [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.1/32")]


def test_no_proxy_is_believed_unless_the_operator_names_it() -> None:
    assert loaded().trusted_proxies == []
    assert loaded(trusted_proxies="").trusted_proxies == []


@pytest.mark.parametrize("limit", ["10/minute", "1/second", "5 per 2 hours"])
def test_a_limit_is_a_number_and_a_time(limit: str) -> None:
    assert loaded(limit_api=limit).limit_api == limit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("device_code_ttl", "0"),
        ("device_code_ttl", "3601"),
        ("short_term_token_ttl", "86401"),
        ("password_length", "7"),
        ("device_poll_hold", "26"),
        ("device_poll_hold", "nan"),
        ("credit_limit_cents", "-1"),
        ("limit_wrong_codes", "0"),
        ("access_token_ttl", "6e2x"),
        ("access_token_ttl", ""),
        ("log_level", "TRACE"),
        ("product_name", "K" * 41),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    (found,) = problems(**{name: value})
    assert found.startswith(f"{PREFIX}{name.upper()}: ")


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings: Any = loaded()
    with pytest.raises(ValueError, match="frozen"):
        settings.log_level = "DEBUG"
    assert settings.log_level == "INFO"


def test_every_setting_says_what_it_is() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")]
    assert undescribed == []


def test_a_secret_may_stand_in_a_file_that_its_own_variable_names(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret of at least 32 characters\n")
    found = loaded(master_secret_file=str(secret))
    assert found.master_secret is not None
    assert found.master_secret.get_secret_value() == "a secret of at least 32 characters"
    assert {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)} == SECRETS


def test_a_secrets_file_that_cannot_be_read_or_has_a_rival_is_named_and_its_content_is_not(tmp_path: Path) -> None:
    missing, short = tmp_path / "missing", tmp_path / "short"
    short.write_text("hunter2")
    (tmp_path / "bytes").write_bytes(b"\xff")
    assert problems(database_url_file=str(missing)) == [
        f"KEYSTEAD_DATABASE_URL_FILE: {missing} cannot be read: No such file or directory"
    ]
    assert "it is not text" in problems(master_secret_file=str(tmp_path / "bytes"))[0]
    assert problems(master_secret_file=str(short)) == ["KEYSTEAD_MASTER_SECRET_FILE: use at least 32 random characters"]
    both = problems(master_secret_file=str(short), master_secret="x" * 40)
    assert "KEYSTEAD_MASTER_SECRET_FILE: KEYSTEAD_MASTER_SECRET is set as well; set one of the two" in both
    assert "hunter2" not in " ".join(both)


def test_only_a_secret_may_stand_in_a_file() -> None:
    assert problems(log_level_file="/dev/null")[0].startswith("KEYSTEAD_LOG_LEVEL_FILE: there is no such setting")
