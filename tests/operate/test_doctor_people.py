"""The doctor looks at what people see and get: the logo, and the settings of e-mail."""

from pathlib import Path

import pytest

from keystead.operate.doctor import examine


def problems(data: Path) -> dict[str, str]:
    """Return what the doctor says about each thing that it looked at."""
    return {found.name: found.problem for found in examine(data)}


def test_a_logo_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTEAD_LOGO", str(tmp_path / "logo.svg"))
    assert problems(tmp_path)["logo"] == f"{tmp_path / 'logo.svg'} cannot be read: No such file or directory."


def test_a_logo_that_is_well_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logo.svg").write_text("<svg/>")
    monkeypatch.setenv("KEYSTEAD_LOGO", str(tmp_path / "logo.svg"))
    assert problems(tmp_path)["logo"] == ""


def test_a_mail_server_without_a_sender_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTEAD_SMTP_URL", "smtp://mail.example.com")
    sentence = "smtp_url is set without mail_from: e-mail needs both, so set both or none"
    assert problems(tmp_path)["settings"] == sentence
